// SPDX-License-Identifier: GPL-2.0
/* Shims for the completion of I/O: of writeback, and of direct writes together; and for what has to wait for it. */
#include <linux/blkdev.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/llist.h>
#include <linux/pagemap.h>
#include <linux/workqueue.h>

#include "shims.h"

static atomic_t own_ioends = ATOMIC_INIT(0);

struct workqueue_struct *rext4_shim_ioend_workers(const char *name)
{
	/*
	 * Writeback must go on when memory is short: it is what frees it. What
	 * runs here waits for no folio, so that it always ends.
	 */
	return alloc_workqueue("rext4-ioend/%s", WQ_MEM_RECLAIM | WQ_UNBOUND, 0,
			       name);
}

void rext4_shim_ioend_queue_init(struct rext4_ioend_queue *queue,
				 void (*complete)(struct work_struct *))
{
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->ready);
	INIT_WORK(&queue->work, complete);
	queue->submitter = NULL;
	INIT_LIST_HEAD(&queue->own);
	queue->own_count = 0;
}

bool rext4_shim_ioend_queue_begin(struct rext4_ioend_queue *queue)
{
	return !cmpxchg(&queue->submitter, NULL, current);
}

/* To be completed by one who may sleep, in the order of the file. */
static void take_ready(struct list_head *from, struct list_head *ready)
{
	struct iomap_ioend *ioend;

	list_replace_init(from, ready);
	iomap_sort_ioends(ready);
	/* Out of the way of a merge; the queue is not needed any more. */
	list_for_each_entry(ioend, ready, io_list) {
		ioend->io_bio.bi_private = ioend->io_private;
		ioend->io_private = NULL;
	}
}

void rext4_shim_ioend_queue_end(struct rext4_ioend_queue *queue,
				struct list_head *ready)
{
	take_ready(&queue->own, ready);
	atomic_sub(queue->own_count, &own_ioends);
	queue->own_count = 0;
	/* The next submitter finds the list empty. */
	smp_store_release(&queue->submitter, NULL);
}

static void ioend_is_ready(struct bio *bio)
{
	struct rext4_ioend_queue *queue = bio->bi_private;
	struct iomap_ioend *ioend = iomap_ioend_from_bio(bio);
	unsigned long flags;

	if (in_task() && READ_ONCE(queue->submitter) == current &&
	    atomic_add_unless(&own_ioends, 1, REXT4_OWN_IOENDS)) {
		list_add_tail(&ioend->io_list, &queue->own);
		queue->own_count++;
		return;
	}
	/*
	 * The work is queued by the first, and it alone empties the list: so it
	 * is not left queued when all is complete and the inode may go.
	 */
	spin_lock_irqsave(&queue->lock, flags);
	if (list_empty(&queue->ready))
		queue_work(queue->workers, &queue->work);
	list_add_tail(&ioend->io_list, &queue->ready);
	spin_unlock_irqrestore(&queue->lock, flags);
}

void rext4_shim_ioend_complete_on(struct iomap_ioend *ioend,
				  struct rext4_ioend_queue *queue,
				  struct workqueue_struct *workers)
{
	/* Always the same of an inode, so it does not matter who is first. */
	WRITE_ONCE(queue->workers, workers);
	ioend->io_bio.bi_private = queue;
	ioend->io_bio.bi_end_io = ioend_is_ready;
}

void rext4_shim_ioend_queue_take(struct work_struct *work,
				 struct list_head *ready)
{
	struct rext4_ioend_queue *queue =
		container_of(work, struct rext4_ioend_queue, work);
	LIST_HEAD(taken);

	spin_lock_irq(&queue->lock);
	list_replace_init(&queue->ready, &taken);
	spin_unlock_irq(&queue->lock);
	take_ready(&taken, ready);
}

static void *take_value(struct iomap_ioend *ioend)
{
	void *value = ioend->io_bio.bi_private;

	ioend->io_bio.bi_private = NULL;
	return value;
}

void *rext4_shim_ioend_take_value(struct iomap_ioend *ioend)
{
	void *value = take_value(ioend);
	struct iomap_ioend *merged;

	list_for_each_entry(merged, &ioend->io_list, io_list) {
		if (value)
			break;
		value = take_value(merged);
	}
	return value;
}

struct iomap_ioend *rext4_shim_ioend_next(struct list_head *ready)
{
	struct iomap_ioend *ioend =
		list_first_entry_or_null(ready, struct iomap_ioend, io_list);

	if (!ioend)
		return NULL;
	list_del_init(&ioend->io_list);
	iomap_ioend_try_merge(ioend, ready);
	cond_resched();
	return ioend;
}

int rext4_shim_ioend_error(const struct iomap_ioend *ioend)
{
	return blk_status_to_errno(ioend->io_bio.bi_status);
}

void rext4_shim_done_queue_init(struct rext4_done_queue *queue,
				void (*complete)(struct work_struct *))
{
	init_llist_head(&queue->ready);
	INIT_WORK(&queue->work, complete);
}

void rext4_shim_done_queue_add(struct rext4_done_queue *queue,
			       struct llist_node *node,
			       struct workqueue_struct *workers)
{
	if (llist_add(node, &queue->ready))
		queue_work(workers, &queue->work);
}

struct llist_node *rext4_shim_done_queue_take(struct work_struct *work)
{
	struct rext4_done_queue *queue =
		container_of(work, struct rext4_done_queue, work);

	return llist_del_all(&queue->ready);
}

struct workqueue_struct *rext4_shim_dio_workers(struct inode *inode)
{
	return inode->i_sb->s_dio_done_wq;
}

void rext4_shim_complete_later(struct inode *inode, struct work_struct *work,
			       void (*complete)(struct work_struct *))
{
	INIT_WORK(work, complete);
	queue_work(rext4_shim_dio_workers(inode), work);
}

struct folio *rext4_shim_iomap_get_folio(struct iomap_iter *iter, loff_t pos,
					 unsigned int len)
{
	struct folio *folio = iomap_get_folio(iter, pos, len);
	bool *has_more = iter->private;

	if (!has_more || IS_ERR(folio) || inode_dio_finished(iter->inode))
		return folio;
	/* Of one block, for which the caller has waited as it has to. */
	if (folio_size(folio) <= i_blocksize(iter->inode))
		return folio;
	if (folio_pos(folio) >= pos &&
	    folio_pos(folio) + folio_size(folio) <= pos + len)
		return folio;
	*has_more = true;
	folio_unlock(folio);
	folio_put(folio);
	return ERR_PTR(-EAGAIN);
}

void rext4_shim_invalidate_after_write(struct inode *inode, loff_t start,
				       size_t bytes, bool stored_to)
{
	struct address_space *mapping = inode->i_mapping;
	loff_t last = start + bytes - 1;
	pgoff_t first_page = start >> PAGE_SHIFT, last_page = last >> PAGE_SHIFT;

	if (!invalidate_inode_pages2_range(mapping, first_page, last_page))
		return;
	/*
	 * A folio was changed meanwhile. A write through the page cache has
	 * changed other blocks of it: it can be dropped when they are written.
	 * A store through a mapping has made all of it dirty, old content that
	 * lies over the data too: fsync says so.
	 */
	if (!stored_to) {
		filemap_fdatawrite_range(mapping, start, last);
		filemap_fdatawait_range_keep_errors(mapping, start, last);
		if (!invalidate_inode_pages2_range(mapping, first_page,
						   last_page))
			return;
	}
	errseq_set(&mapping->wb_err, -EIO);
}
