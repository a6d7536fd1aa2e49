// SPDX-License-Identifier: GPL-2.0
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/crc32.h>
#include <linux/fs.h>
#include <linux/freezer.h>
#include <linux/fs_context.h>
#include <linux/fserror.h>
#include <linux/iomap.h>
#include <linux/ioprio.h>
#include <linux/iversion.h>
#include <linux/kdev_t.h>
#include <linux/jbd2.h>
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/part_stat.h>
#include <linux/sched/signal.h>
#include <linux/uio.h>
#include <linux/utsname.h>
#include <linux/writeback.h>

#include "shims.h"

unsigned int rext4_shim_page_shift(void)
{
	return PAGE_SHIFT;
}

u32 rext4_shim_bdev_number(struct block_device *bdev)
{
	return new_encode_dev(bdev->bd_dev);
}

sector_t rext4_shim_bdev_sectors(struct block_device *bdev)
{
	return bdev_nr_sectors(bdev);
}

unsigned int rext4_shim_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

unsigned int rext4_shim_bdev_memory_alignment(struct block_device *bdev)
{
	return bdev_dma_alignment(bdev) + 1;
}

bool rext4_shim_bdev_read_only(struct block_device *bdev)
{
	return bdev_read_only(bdev);
}

bool rext4_shim_bdev_can_discard(struct block_device *bdev)
{
	return bdev_max_discard_sectors(bdev) > 0;
}

bool rext4_shim_bdev_can_write_zeroes(struct block_device *bdev)
{
	return bdev_write_zeroes_unmap_sectors(bdev) > 0;
}

int rext4_shim_bdev_write_zeroes(struct block_device *bdev, sector_t sector,
				 sector_t sectors)
{
	return blkdev_issue_zeroout(bdev, sector, sectors, GFP_NOFS, 0);
}

void rext4_shim_bdev_drop_cached(struct block_device *bdev, u64 start, u64 len)
{
	invalidate_inode_pages2_range(bdev->bd_mapping, start >> PAGE_SHIFT,
				      (start + len - 1) >> PAGE_SHIFT);
}

unsigned int rext4_shim_bdev_discard_granularity(struct block_device *bdev)
{
	return bdev_discard_granularity(bdev);
}

int rext4_shim_bdev_discard(struct block_device *bdev, sector_t sector,
			    sector_t sectors)
{
	return blkdev_issue_discard(bdev, sector, sectors, GFP_NOFS);
}

struct bio *rext4_shim_bio_add(struct bio *bio, struct block_device *bdev,
			       bool write, sector_t sector, struct page *page,
			       unsigned int offset, unsigned int len,
			       unsigned int pages)
{
	struct bio *next;

	if (bio && bio_end_sector(bio) == sector &&
	    bio_add_page(bio, page, len, offset) == len)
		return bio;
	next = bio_alloc(bdev, bio_max_segs(pages),
			 write ? REQ_OP_WRITE : REQ_OP_READ, GFP_NOFS);
	next->bi_iter.bi_sector = sector;
	__bio_add_page(next, page, len, offset);
	if (bio) {
		/* The last one ends when all have ended. */
		bio_chain(bio, next);
		submit_bio(bio);
	}
	return next;
}

int rext4_shim_bio_finish(struct bio *bio)
{
	int ret = submit_bio_wait(bio);

	bio_put(bio);
	return ret;
}

int rext4_shim_bdev_transfer(struct block_device *bdev, bool write,
			     sector_t sector, void *memory, unsigned int len)
{
	struct bio_vec vec;
	struct bio bio;
	int ret;

	bio_init(&bio, bdev, &vec, 1,
		 (write ? REQ_OP_WRITE : REQ_OP_READ) | REQ_SYNC | REQ_META |
			 REQ_PRIO);
	bio.bi_iter.bi_sector = sector;
	__bio_add_page(&bio, virt_to_page(memory), len, offset_in_page(memory));
	ret = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return ret;
}

bool rext4_shim_in_transaction(void)
{
	return journal_current_handle() != NULL;
}

void rext4_shim_journal_abandon(journal_t *journal)
{
	mutex_lock(&journal->j_abort_mutex);
	write_lock(&journal->j_state_lock);
	journal->j_flags |= JBD2_ABORT;
	/* What it takes for final: whoever aborts it now writes nothing either. */
	journal->j_errno = -ESHUTDOWN;
	write_unlock(&journal->j_state_lock);
	mutex_unlock(&journal->j_abort_mutex);
	/* Those who wait for it are let go. */
	jbd2_journal_start_commit(journal, NULL);
}

bool rext4_shim_journal_is_aborted(journal_t *journal)
{
	return READ_ONCE(journal->j_flags) & JBD2_ABORT;
}

bool rext4_shim_journal_has_barriers(journal_t *journal)
{
	return READ_ONCE(journal->j_flags) & JBD2_BARRIER;
}

bool rext4_shim_journal_has_fast_commit(journal_t *journal)
{
	return jbd2_has_feature_fast_commit(journal);
}

tid_t rext4_shim_journal_latest_tid(journal_t *journal)
{
	return jbd2_get_latest_transaction(journal);
}

bool rext4_shim_journal_has_open(journal_t *journal, tid_t tid)
{
	transaction_t *running, *committing;
	bool open;

	read_lock(&journal->j_state_lock);
	running = journal->j_running_transaction;
	committing = journal->j_committing_transaction;
	open = (running && running->t_tid == tid) ||
	       (committing && committing->t_tid == tid);
	read_unlock(&journal->j_state_lock);
	return open;
}

void rext4_shim_journal_configure(journal_t *journal, unsigned int commit_seconds,
				  bool barriers, u32 min_batch_us, u32 max_batch_us)
{
	if (commit_seconds == 0)
		commit_seconds = JBD2_DEFAULT_MAX_COMMIT_AGE;
	/* So that the jiffies fit; a day is longer than anybody wants. */
	commit_seconds = min(commit_seconds, 86400u);

	write_lock(&journal->j_state_lock);
	journal->j_commit_interval = commit_seconds * HZ;
	journal->j_min_batch_time = min_batch_us;
	journal->j_max_batch_time = max_batch_us;
	if (barriers)
		journal->j_flags |= JBD2_BARRIER;
	else
		journal->j_flags &= ~JBD2_BARRIER;
	write_unlock(&journal->j_state_lock);
}

void rext4_shim_journal_set_priority(journal_t *journal, u8 priority)
{
	/* There is no thread before the journal is loaded. */
	if (journal->j_task)
		set_task_ioprio(journal->j_task,
				IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, priority));
}

int rext4_shim_journal_max_credits(const journal_t *journal)
{
	/* What jbd2 adds for itself counts, too. */
	return journal->j_max_transaction_buffers -
	       journal->j_transaction_overhead_buffers;
}

handle_t *rext4_shim_journal_start(journal_t *journal, int blocks, int revokes)
{
	int max = rext4_shim_journal_max_credits(journal);
	int all = blocks +
		  DIV_ROUND_UP(revokes, journal->j_revoke_records_per_block);

	/* What users can ask for is no reason for jbd2's stack trace. */
	if (!journal_current_handle() && all > max) {
		pr_warn_ratelimited("rext4 (%pg): the journal is too small for a transaction of %d blocks (%d at most); tune2fs -J size=... makes it larger\n",
				    journal->j_fs_dev, all, max);
		return ERR_PTR(-ENOSPC);
	}
	return jbd2__journal_start(journal, blocks, 0, revokes, GFP_NOFS, 0, 0);
}

bool rext4_shim_handle_is_aborted(handle_t *handle)
{
	return is_handle_aborted(handle);
}

int rext4_shim_handle_credits(handle_t *handle)
{
	if (!handle->h_transaction)
		return 0;
	return jbd2_handle_buffer_credits(handle);
}

void rext4_shim_handle_set_sync(handle_t *handle)
{
	handle->h_sync = 1;
}

bool rext4_shim_handle_tid(handle_t *handle, tid_t *tid)
{
	if (!handle->h_transaction)
		return false;
	*tid = handle->h_transaction->t_tid;
	return true;
}

bool rext4_shim_write_all_data(struct super_block *sb)
{
	/* The caller has locks that come after this one. */
	if (!down_read_trylock(&sb->s_umount))
		return false;
	sync_inodes_sb(sb);
	up_read(&sb->s_umount);
	return true;
}

unsigned int rext4_shim_nofs_save(void)
{
	return memalloc_nofs_save();
}

void rext4_shim_nofs_restore(unsigned int flags)
{
	memalloc_nofs_restore(flags);
}

void rext4_shim_set_sysfs_name(struct super_block *sb)
{
	super_set_sysfs_name_bdev(sb);
}

bool rext4_shim_has_changed_metadata(struct inode *inode)
{
	/* Whoever writes it says so in the same word before it counts as unchanged. */
	bool changed = inode_state_read_once(inode) & (I_DIRTY_INODE | I_DIRTY_TIME | I_SYNC);

	/* What it was written with is looked at after this. */
	smp_rmb();
	return changed;
}

bool rext4_shim_is_journal_thread(const journal_t *journal)
{
	return READ_ONCE(journal->j_task) == current;
}

void rext4_shim_report_error(struct super_block *sb, struct inode *inode, int error)
{
	/* One that is on its way out can't be kept for as long as the report takes. */
	if (inode && (inode_state_read_once(inode) & (I_NEW | I_FREEING | I_WILL_FREE)))
		inode = NULL;
	fserror_report(sb, inode, FSERR_METADATA, 0, 0, error, GFP_NOFS);
}

void rext4_shim_report_lost_write(struct inode *inode, loff_t pos)
{
	fserror_report_io(inode, FSERR_DIRECTIO_WRITE, pos, 0, -EIO, GFP_NOFS);
}

bool rext4_shim_is_administrator(void)
{
	return capable(CAP_SYS_ADMIN);
}

bool rext4_shim_may_resize(void)
{
	return capable(CAP_SYS_RESOURCE);
}

bool rext4_shim_wbc_for_sync(const struct writeback_control *wbc)
{
	return wbc->for_sync;
}

void rext4_shim_fc_error(struct fs_context *fc, const char *option,
			 const char *why)
{
	errorf(fc, "%s: %s", option, why);
}

struct kmem_cache *rext4_shim_inode_cache_create(const char *name,
						 unsigned int size,
						 unsigned int align,
						 void (*construct)(void *))
{
	return kmem_cache_create(name, size, align,
				 SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT, construct);
}

void *rext4_shim_alloc_inode(struct super_block *sb, struct kmem_cache *cache)
{
	return alloc_inode_sb(sb, cache, GFP_NOFS);
}

bool rext4_shim_inode_is_new(struct inode *inode)
{
	return inode_state_read_once(inode) & I_NEW;
}

loff_t rext4_shim_i_size_read(const struct inode *inode)
{
	return i_size_read(inode);
}

void rext4_shim_i_size_write(struct inode *inode, loff_t bytes)
{
	i_size_write(inode, bytes);
}

u32 rext4_shim_i_uid_read(const struct inode *inode)
{
	return i_uid_read(inode);
}

u32 rext4_shim_i_gid_read(const struct inode *inode)
{
	return i_gid_read(inode);
}

void rext4_shim_inode_touch(struct inode *inode)
{
	inode_set_mtime_to_ts(inode, inode_set_ctime_current(inode));
}

void rext4_shim_inode_changed(struct inode *inode)
{
	inode_set_ctime_current(inode);
	inode_inc_iversion(inode);
}

bool rext4_shim_is_dirsync(const struct inode *inode)
{
	return IS_DIRSYNC(inode);
}

bool rext4_shim_is_open_for_write(const struct inode *inode)
{
	return inode_is_open_for_write(inode);
}

bool rext4_shim_is_sync(const struct inode *inode)
{
	return IS_SYNC(inode);
}

int rext4_shim_mount_point(const struct file *file, char *buffer, int len)
{
	struct path root = {
		.mnt = file->f_path.mnt,
		.dentry = file->f_path.mnt->mnt_root,
	};
	char *start = d_path(&root, buffer, len);

	return IS_ERR(start) ? PTR_ERR(start) : start - buffer;
}

bool rext4_shim_start_internal_write(struct super_block *sb)
{
	if (journal_current_handle())
		return false;
	sb_start_intwrite(sb);
	return true;
}

bool rext4_shim_try_internal_write(struct super_block *sb)
{
	return sb_start_intwrite_trylock(sb);
}

void rext4_shim_end_internal_write(struct super_block *sb)
{
	sb_end_intwrite(sb);
}

int rext4_shim_finish_tmpfile(struct file *file, struct inode *inode)
{
	d_mark_tmpfile(file, inode);
	d_instantiate(file->f_path.dentry, inode);
	return finish_open_simple(file, 0);
}

void rext4_shim_inode_sub_bytes(struct inode *inode, u64 bytes)
{
	spin_lock(&inode->i_lock);
	bytes = min_t(u64, bytes, __inode_get_bytes(inode));
	__inode_sub_bytes(inode, bytes);
	spin_unlock(&inode->i_lock);
}

void rext4_shim_i_set_owner(struct inode *inode, u32 uid, u32 gid)
{
	i_uid_write(inode, uid);
	i_gid_write(inode, gid);
}

u64 rext4_shim_iversion_peek(const struct inode *inode)
{
	return inode_peek_iversion(inode);
}

void rext4_shim_iversion_set(struct inode *inode, u64 version)
{
	inode_set_iversion_queried(inode, version);
}

void rext4_shim_set_kfree_link(struct delayed_call *done, void *text)
{
	set_delayed_call(done, kfree_link, text);
}

void rext4_shim_cache_link(struct inode *inode, const void *text, u32 len)
{
	char *copy = kmemdup_nul(text, len, GFP_KERNEL);

	if (copy)
		inode_set_cached_link(inode, copy, len);
}

void rext4_shim_free_cached_link(struct inode *inode)
{
	if (inode->i_opflags & IOP_CACHED_LINK)
		kfree(inode->i_link);
}

const u8 *rext4_shim_dentry_name(const struct dentry *dentry, u32 *len)
{
	*len = dentry->d_name.len;
	return dentry->d_name.name;
}

const struct qstr *rext4_shim_dentry_qstr(const struct dentry *dentry)
{
	return &dentry->d_name;
}

void rext4_shim_mapping_set_large_folios(struct address_space *mapping)
{
	mapping_set_large_folios(mapping);
}

u64 rext4_shim_folio_end(struct folio *folio)
{
	return folio_next_pos(folio);
}

void rext4_shim_iomap_read_folio(struct folio *folio,
				 const struct iomap_ops *ops)
{
	iomap_bio_read_folio(folio, ops);
}

void rext4_shim_iomap_readahead(struct readahead_control *request,
				const struct iomap_ops *ops)
{
	iomap_bio_readahead(request, ops);
}

struct inode *rext4_shim_folio_inode(struct folio *folio)
{
	return folio->mapping->host;
}

void rext4_shim_copy_from_folio(void *to, struct folio *folio, size_t offset,
				size_t len)
{
	memcpy_from_folio(to, folio, offset, len);
}

void rext4_shim_copy_to_folio(struct folio *folio, size_t offset,
			      const void *from, size_t len)
{
	memcpy_to_folio(folio, offset, from, len);
}

size_t rext4_shim_offset_in_folio(struct folio *folio, loff_t pos)
{
	return offset_in_folio(folio, pos);
}

int rext4_shim_read_into_folio(struct block_device *bdev, sector_t sector,
			       struct folio *folio, size_t offset, size_t len)
{
	struct bio_vec vec;
	struct bio bio;
	int error;

	bio_init(&bio, bdev, &vec, 1, REQ_OP_READ);
	bio.bi_iter.bi_sector = sector;
	bio_add_folio_nofail(&bio, folio, len, offset);
	error = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return error;
}

struct inode *rext4_shim_file_inode(const struct file *file)
{
	return file_inode(file);
}

bool rext4_shim_file_is_own(const struct file *file)
{
	return inode_owner_or_capable(file_mnt_idmap(file), file_inode(file));
}

bool rext4_shim_file_is_last_writer(const struct file *file)
{
	return (file->f_mode & FMODE_WRITE) &&
	       atomic_read(&file_inode(file)->i_writecount) == 1;
}

bool rext4_shim_file_is_sync(const struct file *file)
{
	return (file->f_flags & O_DSYNC) || IS_SYNC(file_inode(file));
}

void rext4_shim_file_can_odirect(struct file *file)
{
	file->f_mode |= FMODE_CAN_ODIRECT | FMODE_NOWAIT;
}

void rext4_shim_file_accessed(struct file *file)
{
	file_accessed(file);
}

bool rext4_shim_iocb_is_dsync(const struct kiocb *iocb)
{
	return iocb_is_dsync(iocb);
}

ssize_t rext4_shim_generic_write_sync(struct kiocb *iocb, ssize_t bytes)
{
	return generic_write_sync(iocb, bytes);
}

/*
 * Unlike filemap_write_and_wait_range(), does not return an error that another
 * range had before, nor takes any from fsync: that asks the errseq, which does
 * not change when the same error comes again before somebody has seen it.
 */
int rext4_shim_write_back(struct inode *inode, loff_t first, loff_t last)
{
	struct address_space *mapping = inode->i_mapping;
	errseq_t before = READ_ONCE(mapping->wb_err);
	/* The bit behind the error: somebody has seen it (lib/errseq.c). */
	const errseq_t seen = 1 << (ilog2(MAX_ERRNO) + 1);
	int result, waited;

	filemap_check_errors(mapping);
	result = filemap_fdatawrite_range(mapping, first, last);
	waited = filemap_fdatawait_range(mapping, first, last);
	if (result || waited)
		return result ? result : waited;
	/* Somebody else may have taken the flags, or have seen an older error. */
	return (READ_ONCE(mapping->wb_err) ^ before) & ~seen ? -EIO : 0;
}

int rext4_shim_read_page(struct address_space *mapping, loff_t at)
{
	struct folio *folio = read_mapping_folio(mapping, at >> PAGE_SHIFT,
						 NULL);

	if (IS_ERR(folio))
		return PTR_ERR(folio);
	folio_put(folio);
	return 0;
}

bool rext4_shim_is_kernel_thread(void)
{
	/* Those of io_uring are the process's own. */
	return current->flags & PF_KTHREAD;
}

void rext4_shim_iov_iter_truncate(struct iov_iter *iter, u64 count)
{
	iov_iter_truncate(iter, count);
}

void rext4_shim_iov_iter_reexpand(struct iov_iter *iter, size_t count)
{
	iov_iter_reexpand(iter, count);
}

size_t rext4_shim_iov_iter_count(const struct iov_iter *iter)
{
	return iov_iter_count(iter);
}

void rext4_shim_map_bh(struct buffer_head *map, struct inode *inode,
		       sector_t block, u32 len, bool is_new)
{
	map_bh(map, inode->i_sb, block);
	map->b_size = (size_t)len << inode->i_blkbits;
	if (is_new)
		set_buffer_new(map);
}

void rext4_shim_defer_completion(struct buffer_head *map)
{
	set_buffer_defer_completion(map);
}

void rext4_shim_dio_begin(struct inode *inode)
{
	inode_dio_begin(inode);
}

int rext4_shim_dio_count(struct inode *inode)
{
	return atomic_read(&inode->i_dio_count);
}

void rext4_shim_dio_end(struct inode *inode)
{
	inode_dio_end(inode);
}

void rext4_shim_stand_in_init(struct inode *stand_in, struct inode *inode)
{
	memset(stand_in, 0, sizeof(*stand_in));
	stand_in->i_sb = inode->i_sb;
	stand_in->i_mapping = inode->i_mapping;
	stand_in->i_mode = inode->i_mode;
	stand_in->i_blkbits = inode->i_blkbits;
	stand_in->i_size = inode->i_sb->s_maxbytes;
	atomic_set(&stand_in->i_dio_count, 0);
}

bool rext4_shim_in_worker(void)
{
	return current->flags & PF_WQ_WORKER;
}

bool rext4_shim_may_use_reserved(u32 uid, u32 gid)
{
	/* In the first user namespace IDs are what they are. */
	return uid_eq(KUIDT_INIT(uid), current_fsuid()) ||
	       (gid != 0 && in_group_p(KGIDT_INIT(gid))) ||
	       capable(CAP_SYS_RESOURCE);
}

void rext4_shim_panic(const char *device)
{
	panic("rext4 (%s): panic forced after error\n", device);
}

bool rext4_shim_sleep_killable(unsigned int seconds)
{
	signed long left = (signed long)seconds * HZ;

	while (left > 0) {
		signed long part = min(left, (signed long)HZ);

		if (fatal_signal_pending(current) || freezing(current))
			return false;
		left -= part - schedule_timeout_killable(part);
	}
	return true;
}

void rext4_shim_node_name(char *name, size_t size)
{
	const char *node = init_utsname()->nodename;

	/* While it is being changed this may be a part of both names. */
	memset(name, 0, size);
	memcpy(name, node, strnlen(node, size));
}

void rext4_shim_might_sleep(void)
{
	might_sleep();
}

u32 rext4_shim_crc32c(u32 value, const void *bytes, size_t len)
{
	return crc32c(value, bytes, len);
}

bool rext4_shim_dir_positions_are_narrow(const struct file *file)
{
	if (file->f_mode & FMODE_32BITHASH)
		return true;
	if (file->f_mode & FMODE_64BITHASH)
		return false;
#ifdef CONFIG_COMPAT
	return in_compat_syscall();
#else
	return BITS_PER_LONG == 32;
#endif
}

bool rext4_shim_dir_emit(struct dir_context *context, const char *name, int len,
			 u64 ino, unsigned int type)
{
	return dir_emit(context, name, len, ino, type);
}

bool rext4_shim_pause(void)
{
	cond_resched();
	return fatal_signal_pending(current);
}

bool rext4_shim_freezing(void)
{
	return freezing(current);
}

void rext4_shim_task_name(char *name)
{
	strscpy_pad(name, current->comm, TASK_COMM_LEN);
}

void rext4_shim_init_waitqueue(struct wait_queue_head *head)
{
	init_waitqueue_head(head);
}

void rext4_shim_wake_up_all(struct wait_queue_head *head)
{
	/* Most often there is nobody, and the queue's lock need not be taken. */
	if (wq_has_sleeper(head))
		wake_up_all(head);
}

bool rext4_shim_prepare_to_wait(struct wait_queue_head *head,
				struct wait_queue_entry *entry, bool killable)
{
	int state = killable ? TASK_KILLABLE : TASK_UNINTERRUPTIBLE;

	return prepare_to_wait_event(head, entry, state) != 0;
}

void rext4_shim_pagecache_lock(struct inode *inode)
{
	filemap_invalidate_lock(inode->i_mapping);
}

void rext4_shim_pagecache_lock_two(struct inode *one, struct inode *other)
{
	filemap_invalidate_lock_two(one->i_mapping, other->i_mapping);
}

void rext4_shim_pagecache_unlock(struct inode *inode)
{
	filemap_invalidate_unlock(inode->i_mapping);
}

void rext4_shim_iomap_end_write(struct inode *inode, loff_t offset,
				loff_t length, ssize_t written,
				unsigned int flags, struct iomap *map,
				void (*punch)(struct inode *, loff_t, loff_t,
					      struct iomap *))
{
	loff_t start = iomap_last_written_block(inode, offset, written);
	loff_t end = round_up(offset + length, i_blocksize(inode));

	if (map->type != IOMAP_DELALLOC || !(map->flags & IOMAP_F_NEW))
		return;
	/* A fault makes all of its folio dirty, or fails before it reserves. */
	if ((flags & IOMAP_FAULT) || start >= end)
		return;
	filemap_invalidate_lock(inode->i_mapping);
	iomap_write_delalloc_release(inode, start, end, flags, map, punch);
	filemap_invalidate_unlock(inode->i_mapping);
}

int rext4_shim_swap_activate(struct swap_info_struct *swap, struct file *file,
			     sector_t *span, const struct iomap_ops *ops)
{
	return iomap_swapfile_activate(swap, file, span, ops);
}

void rext4_shim_attribute_init(struct attribute *attribute, const char *name,
			       umode_t mode)
{
	sysfs_attr_init(attribute);
	attribute->name = name;
	attribute->mode = mode;
}

int rext4_shim_kobject_add(struct kobject *kobject, struct kobject *parent,
			   const char *name)
{
	return kobject_add(kobject, parent, "%s", name);
}

u64 rext4_shim_bdev_sectors_written(struct block_device *bdev)
{
	return part_stat_read(bdev, sectors[STAT_WRITE]);
}

bool rext4_shim_may_be_stored_through(const struct vm_area_desc *desc)
{
	return vma_desc_test_all(desc, VMA_SHARED_BIT, VMA_MAYWRITE_BIT);
}

vm_fault_t rext4_shim_page_mkwrite(struct vm_fault *fault,
				   const struct iomap_ops *ops)
{
	struct inode *inode = file_inode(fault->vma->vm_file);
	vm_fault_t result;

	/* As for a file that is not writable: it was when it was mapped. */
	if (IS_IMMUTABLE(inode))
		return VM_FAULT_SIGBUS;
	sb_start_pagefault(inode->i_sb);
	file_update_time(fault->vma->vm_file);
	filemap_invalidate_lock_shared(inode->i_mapping);
	result = iomap_page_mkwrite(fault, ops, NULL);
	filemap_invalidate_unlock_shared(inode->i_mapping);
	sb_end_pagefault(inode->i_sb);
	return result;
}
