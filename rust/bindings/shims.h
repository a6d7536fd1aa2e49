/* SPDX-License-Identifier: GPL-2.0 */
/* Functions over what bindgen can't translate: inline functions and macros. */
#ifndef REXT4_SHIMS_H
#define REXT4_SHIMS_H

#include <linux/buffer_head.h>
#include <linux/iomap.h>
#include <linux/jbd2.h>
#include <linux/list_lru.h>
#include <linux/sysfs.h>
#include <linux/wait.h>

/* Logarithm of the size of a page, in bytes. */
unsigned int rext4_shim_page_shift(void);

/*
 * Buffers and block devices, for vfs/buffer.rs and vfs/block_device.rs.
 *
 * Three things of ours are kept in a buffer's b_state: a lock of its bytes, of
 * which kinds its contents were found to be, and whether its checksum is still
 * to be computed. They use the bits from the top down, where no other file system
 * on the same device has left anything.
 */
#define REXT4_BH_KINDS 8u

u32 rext4_shim_bdev_number(struct block_device *bdev);
sector_t rext4_shim_bdev_sectors(struct block_device *bdev);
unsigned int rext4_shim_bdev_logical_block_size(struct block_device *bdev);
unsigned int rext4_shim_bdev_memory_alignment(struct block_device *bdev);
/* What it writes untorn, at least and at most, in bytes; 0 if it can't. */
unsigned int rext4_shim_bdev_atomic_unit_min(struct block_device *bdev);
unsigned int rext4_shim_bdev_atomic_unit_max(struct block_device *bdev);
/* Of the device's page cache. */
unsigned int rext4_shim_bdev_block_size(struct block_device *bdev);
bool rext4_shim_bdev_read_only(struct block_device *bdev);
bool rext4_shim_bdev_can_discard(struct block_device *bdev);
bool rext4_shim_bdev_can_write_zeroes(struct block_device *bdev);
int rext4_shim_bdev_write_zeroes(struct block_device *bdev, sector_t sector,
				 sector_t sectors);
void rext4_shim_bdev_drop_cached(struct block_device *bdev, u64 start, u64 len);
unsigned int rext4_shim_bdev_discard_granularity(struct block_device *bdev);
int rext4_shim_bdev_discard(struct block_device *bdev, sector_t sector,
			    sector_t sectors);

/*
 * Transfers between memory and a device, for vfs/transfer.rs. A part of a page
 * is added to a bio, which may be NULL; where it does not fit, that is submitted
 * and another one begun, with room for so many pages. All are submitted and
 * waited for with the last one. Sleeps.
 */
struct bio *rext4_shim_bio_add(struct bio *bio, struct block_device *bdev,
			       bool write, sector_t sector, struct page *page,
			       unsigned int offset, unsigned int len,
			       unsigned int pages);
int rext4_shim_bio_finish(struct bio *bio);

/*
 * Reads or writes one run of whole sectors, past all caches and before what
 * else is queued, for vfs/device_block.rs: 0 or a negative errno. The memory comes
 * from kmalloc() and lies in one page. Sleeps.
 */
int rext4_shim_bdev_transfer(struct block_device *bdev, bool write,
			     sector_t sector, void *memory, unsigned int len);

/* A reference to the buffer of a block that lies within the device, or NULL. */
struct buffer_head *rext4_shim_bh_get(struct block_device *bdev, sector_t block,
				      unsigned int size, bool movable);
/* The same, of a block that is in memory and filled; does not sleep. */
struct buffer_head *rext4_shim_bh_find(struct block_device *bdev, sector_t block,
				       unsigned int size);
/* The same, if the device may have an older version of it. Sleeps. */
struct buffer_head *rext4_shim_bh_find_newer(struct block_device *bdev,
					     sector_t block, unsigned int size);
/* Whether it is filled, also with what could not be written. */
bool rext4_shim_bh_is_filled(struct buffer_head *bh);
/* The buffer if there is one in memory, filled or not. Sleeps. */
struct buffer_head *rext4_shim_bh_find_any(struct block_device *bdev, sector_t block,
					   unsigned int size);
/* Fills the buffer from the device unless it is filled: 0 or -EIO. Sleeps. */
int rext4_shim_bh_read(struct buffer_head *bh);
/* Begins to read a block that is not in memory, without waiting, if there is memory for it. */
void rext4_shim_bh_read_ahead(struct block_device *bdev, sector_t block,
			      unsigned int size);
void rext4_shim_bh_ref(struct buffer_head *bh);
void rext4_shim_bh_lock(struct buffer_head *bh);
/* Fills a locked buffer with zeros; its former contents mean nothing now. */
void rext4_shim_bh_zero(struct buffer_head *bh);
/* Has a locked buffer written some time. */
void rext4_shim_bh_mark_dirty(struct buffer_head *bh);
void rext4_shim_bh_lock_bytes(struct buffer_head *bh);
void rext4_shim_bh_unlock_bytes(struct buffer_head *bh);
bool rext4_shim_bh_is_kind(struct buffer_head *bh, unsigned int kind);
void rext4_shim_bh_set_kind(struct buffer_head *bh, unsigned int kind);
void rext4_shim_bh_clear_kinds(struct buffer_head *bh);
/*
 * Notes that the checksum is still to be computed, by the trigger, and that the
 * contents are of a kind. The calling thread's handle has write access.
 */
void rext4_shim_bh_checksum_late(struct buffer_head *bh,
				 struct jbd2_buffer_trigger_type *trigger,
				 unsigned int kind);
/* Whether it was noted; it is not any more. */
bool rext4_shim_bh_take_late(struct buffer_head *bh);

/*
 * Who has a share of an epoch, for vfs/jbd2/epochs.rs, in the place where jbd2 keeps
 * a task's handle: NULL, or the share that began, or something else if it is a handle.
 */
void *rext4_shim_share_of_task(void);
/* The pointer is aligned to more than two bytes. */
void rext4_shim_share_begin(void *shared);
void rext4_shim_share_want_written(void);
/* Whether it was wanted. */
bool rext4_shim_share_end(void);
/* What errors of writing a device's page cache there were, for the next function. */
u32 rext4_shim_bdev_write_errors(struct block_device *bdev);
/* Whether there was another one since. */
bool rext4_shim_bdev_write_failed(struct block_device *bdev, u32 since);

/* The journal, for vfs/jbd2.rs. */
/* Aborts the journal without a note of that on the device. */
void rext4_shim_journal_abandon(journal_t *journal);
bool rext4_shim_in_transaction(void);
bool rext4_shim_journal_is_aborted(journal_t *journal);
bool rext4_shim_journal_has_barriers(journal_t *journal);
bool rext4_shim_journal_has_fast_commit(journal_t *journal);
tid_t rext4_shim_journal_latest_tid(journal_t *journal);
/* Whether this is the transaction that is running or that is being committed. */
bool rext4_shim_journal_has_open(journal_t *journal, tid_t tid);
/* A commit interval of 0 seconds is jbd2's default. */
void rext4_shim_journal_configure(journal_t *journal, unsigned int commit_seconds,
				  bool barriers, u32 min_batch_us, u32 max_batch_us);
void rext4_shim_journal_set_priority(journal_t *journal, u8 priority);
int rext4_shim_journal_max_credits(const journal_t *journal);
/* As jbd2__journal_start(): a handle or an error pointer. */
handle_t *rext4_shim_journal_start(journal_t *journal, int blocks, int revokes);
bool rext4_shim_handle_is_aborted(handle_t *handle);
int rext4_shim_handle_credits(handle_t *handle);
void rext4_shim_handle_set_sync(handle_t *handle);
/* False if the handle has no transaction. */
bool rext4_shim_handle_tid(handle_t *handle, tid_t *tid);

/*
 * Writes a locked buffer, past the device's cache if it has one, and unlocks it
 * when that is done: 0 or -EIO. It stays filled in any case.
 */
int rext4_shim_bh_write_and_unlock(struct buffer_head *bh);

/* Super blocks and mounting. */
void rext4_shim_set_sysfs_name(struct super_block *sb);
/* Changed in memory alone, or just being written, perhaps with data. */
bool rext4_shim_has_changed_metadata(struct inode *inode);
bool rext4_shim_is_journal_thread(const journal_t *journal);
void rext4_shim_report_error(struct super_block *sb, struct inode *inode, int error);
void rext4_shim_report_lost_write(struct inode *inode, loff_t pos);
/* Whether the current task has the rights of an administrator. */
bool rext4_shim_is_administrator(void);
/* Whether it may make file systems larger. */
bool rext4_shim_may_resize(void);
bool rext4_shim_wbc_for_sync(const struct writeback_control *wbc);
/* Tells the mounter why an option is refused. */
void rext4_shim_fc_error(struct fs_context *fc, const char *option,
			 const char *why);

/*
 * Writes out all dirty data of the file system and waits for it. False if
 * somebody is about to change or end the mount: nothing was written then.
 */
bool rext4_shim_write_all_data(struct super_block *sb);

/* Memory, for vfs/no_fs.rs. */
unsigned int rext4_shim_nofs_save(void);
void rext4_shim_nofs_restore(unsigned int flags);

/* Inodes. */
struct kmem_cache *rext4_shim_inode_cache_create(const char *name,
						 unsigned int size,
						 unsigned int align,
						 void (*construct)(void *));
void *rext4_shim_alloc_inode(struct super_block *sb, struct kmem_cache *cache);
bool rext4_shim_inode_is_new(struct inode *inode);
loff_t rext4_shim_i_size_read(const struct inode *inode);
void rext4_shim_i_size_write(struct inode *inode, loff_t bytes);
u32 rext4_shim_i_uid_read(const struct inode *inode);
u32 rext4_shim_i_gid_read(const struct inode *inode);
void rext4_shim_pagecache_lock(struct inode *inode);
void rext4_shim_pagecache_lock_two(struct inode *one, struct inode *other);
void rext4_shim_pagecache_unlock(struct inode *inode);
/* Sets the times of change of data and inode to now. */
void rext4_shim_inode_touch(struct inode *inode);
/* Sets the time of change of the inode to now, and counts the change. */
void rext4_shim_inode_changed(struct inode *inode);
struct posix_acl;

/*
 * An inode without a number, with owner and mode as dir and the caller give
 * them, or with dir's group whatever its mode is; and times of now. Or an error
 * pointer. The ACLs that it has to get, or NULL, are the caller's to release.
 */
struct inode *rext4_shim_new_inode(struct mnt_idmap *idmap, struct inode *dir,
				   umode_t mode, bool group_of_dir,
				   struct posix_acl **access,
				   struct posix_acl **inherited);
/*
 * Calls put for each attribute in security. that the security modules want a
 * new inode to have; it returns 0 or an error, which ends it.
 */
int rext4_shim_label_new_inode(struct inode *inode, struct inode *dir,
			       const struct qstr *name,
			       int (*put)(void *context, const char *name,
					  const void *value, size_t len),
			       void *context);
bool rext4_shim_is_dirsync(const struct inode *inode);
bool rext4_shim_is_sync(const struct inode *inode);
/* Where in the buffer the path of the mount of an open file is, or an errno. */
int rext4_shim_mount_point(const struct file *file, char *buffer, int len);
bool rext4_shim_is_open_for_write(const struct inode *inode);
/* Keeps a freeze away, unless the task has a handle, which does so as well. */
bool rext4_shim_start_internal_write(struct super_block *sb);
/* The same without waiting: false while the file system is, or is being, frozen. */
bool rext4_shim_try_internal_write(struct super_block *sb);
void rext4_shim_end_internal_write(struct super_block *sb);
int rext4_shim_finish_tmpfile(struct file *file, struct inode *inode);
/* Like inode_sub_bytes(), down to zero. */
void rext4_shim_inode_sub_bytes(struct inode *inode, u64 bytes);
void rext4_shim_i_set_owner(struct inode *inode, u32 uid, u32 gid);
u64 rext4_shim_iversion_peek(const struct inode *inode);
void rext4_shim_iversion_set(struct inode *inode, u64 version);
void rext4_shim_set_kfree_link(struct delayed_call *done, void *text);
/* A copy of a symbolic link's text, without which the VFS asks for it each time; nothing without memory. */
void rext4_shim_cache_link(struct inode *inode, const void *text, u32 len);
void rext4_shim_free_cached_link(struct inode *inode);
const u8 *rext4_shim_dentry_name(const struct dentry *dentry, u32 *len);
const struct qstr *rext4_shim_dentry_qstr(const struct dentry *dentry);

/* Page cache. */
/* The byte of the file behind a folio's last one. */
u64 rext4_shim_folio_end(struct folio *folio);
void rext4_shim_mapping_set_large_folios(struct address_space *mapping);
void rext4_shim_iomap_read_folio(struct folio *folio,
				 const struct iomap_ops *ops);
void rext4_shim_iomap_readahead(struct readahead_control *request,
				const struct iomap_ops *ops);
struct inode *rext4_shim_folio_inode(struct folio *folio);
/* Bytes of a folio, which may be in high memory; does not sleep. */
void rext4_shim_copy_from_folio(void *to, struct folio *folio, size_t offset,
				size_t len);
void rext4_shim_copy_to_folio(struct folio *folio, size_t offset,
			      const void *from, size_t len);
/* Where a byte of the file is in its folio. */
size_t rext4_shim_offset_in_folio(struct folio *folio, loff_t pos);
/* Reads sectors into a part of a folio, and waits: 0 or an error. */
int rext4_shim_read_into_folio(struct block_device *bdev, sector_t sector,
			       struct folio *folio, size_t offset, size_t len);
/*
 * The folio that iomap writes to, locked. While direct I/O is under way
 * (`private` is a bool then): EAGAIN if it has more than what is written, and
 * the bool says so.
 */
struct folio *rext4_shim_iomap_get_folio(struct iomap_iter *iter, loff_t pos,
					 unsigned int len);
/*
 * What iomap_end has to do: if the mapping was reserved for a write that ended
 * early, gives back what no dirty folio covers, by way of punch.
 */
void rext4_shim_iomap_end_write(struct inode *inode, loff_t offset,
				loff_t length, ssize_t written,
				unsigned int flags, struct iomap *map,
				void (*punch)(struct inode *, loff_t, loff_t,
					      struct iomap *));

/*
 * The ioends of an inode that are on the device and wait to be completed by a
 * worker. The lock is taken in any context.
 */
struct rext4_ioend_queue {
	spinlock_t lock;
	struct list_head ready;
	struct work_struct work;
	struct workqueue_struct *workers;
	struct task_struct *submitter;
	/* What was done when the submitter's submission returned: his alone. */
	struct list_head own;
	unsigned int own_count;
};

void rext4_shim_ioend_queue_init(struct rext4_ioend_queue *queue,
				 void (*complete)(struct work_struct *));
/* Makes the ioend's completion put it into the queue, for these workers. */
void rext4_shim_ioend_complete_on(struct iomap_ioend *ioend,
				  struct rext4_ioend_queue *queue,
				  struct workqueue_struct *workers);
/*
 * Until the end of it, what this task submits and the device completes at once
 * is kept for this task; the workers go on beside it. Returns false if another
 * task does so.
 *
 * All tasks together keep REXT4_OWN_IOENDS at most. When memory is out, iomap
 * has only 32 of them, for all file systems, and who keeps some may be waiting
 * for one: the rest must go on being given back.
 */
#define REXT4_OWN_IOENDS 16
bool rext4_shim_ioend_queue_begin(struct rext4_ioend_queue *queue);
void rext4_shim_ioend_queue_end(struct rext4_ioend_queue *queue,
				struct list_head *ready);
/* Moves what is ready into a list, in the order of the file. */
void rext4_shim_ioend_queue_take(struct work_struct *work,
				 struct list_head *ready);
/* The first of a list, with those merged into it that follow it; or NULL. */
struct iomap_ioend *rext4_shim_ioend_next(struct list_head *ready);
/* The errno that the device gave. */
int rext4_shim_ioend_error(const struct iomap_ioend *ioend);
/*
 * Takes what the ioend has brought, or one of those that were merged into it;
 * NULL when nothing is left.
 */
void *rext4_shim_ioend_take_value(struct iomap_ioend *ioend);
/* Makes the workqueue for those of the file system of this name; or NULL. */
struct workqueue_struct *rext4_shim_ioend_workers(const char *name);

struct swap_info_struct;

/* -EIO where the kernel has no swap. */
int rext4_shim_swap_activate(struct swap_info_struct *swap, struct file *file,
			     sector_t *span, const struct iomap_ops *ops);

/* Files in sysfs, for vfs/sysfs.rs. */
void rext4_shim_attribute_init(struct attribute *attribute, const char *name,
			       umode_t mode);
int rext4_shim_kobject_add(struct kobject *kobject, struct kobject *parent,
			   const char *name);
/* What was written to the device since it is there, in sectors. */
u64 rext4_shim_bdev_sectors_written(struct block_device *bdev);

/* Work to be done after each commit, for vfs/commit_work.rs. */
struct rext4_commit_work {
	struct work_struct work;
	struct super_block *sb;
	bool wanted;
	bool stopped;
	/* The last transaction that was on disk as a whole. */
	tid_t committed;
};

void rext4_shim_commit_work_init(struct rext4_commit_work *work,
				 void (*run)(struct work_struct *));
/*
 * From now on each commit of the journal queues the work, while it is wanted. Without a
 * journal somebody calls rext4_shim_commit_work_queue() for it.
 */
void rext4_shim_commit_work_attach(struct rext4_commit_work *work,
				   journal_t *journal, struct super_block *sb);
void rext4_shim_commit_work_queue(struct rext4_commit_work *work);
/* Whether a transaction was on disk before the journal was given up. */
bool rext4_shim_commit_work_has(const struct rext4_commit_work *work, tid_t tid);
void rext4_shim_commit_work_want(struct rext4_commit_work *work, bool wanted);
/* Waits for the work to end; it does nothing any more if it is queued again. */
void rext4_shim_commit_work_stop(struct rext4_commit_work *work);
/* NULL if the work was stopped. */
struct super_block *rext4_shim_commit_work_sb(struct work_struct *work);

/* Work that is done a step at a time, for vfs/background.rs. */
struct rext4_background {
	struct delayed_work work;
	struct workqueue_struct *workers;
	/* NULL as long as it was not started. */
	struct super_block *sb;
};

/* Without workers of its own it is done by those of all, when they have time. */
void rext4_shim_background_init(struct rext4_background *background,
				struct workqueue_struct *workers,
				void (*run)(struct work_struct *));
/* Makes workers that get on when memory is short as well; or NULL. */
struct workqueue_struct *rext4_shim_background_workers(const char *what,
						       const char *name);
/* Queues the first step after a pause in jiffies. It must not be queued. */
void rext4_shim_background_start(struct rext4_background *background,
				 struct super_block *sb, unsigned long pause);
/* Waits for a step that is running, and takes back what is queued. */
void rext4_shim_background_stop(struct rext4_background *background);
/* Queues a step again after that, unless it was never started. */
void rext4_shim_background_restart(struct rext4_background *background);
struct super_block *rext4_shim_background_sb(struct work_struct *work);
/* Queues the next step, from within one. */
void rext4_shim_background_again(struct work_struct *work, unsigned long pause);

/* Memory of inodes that can be given back, for vfs/shrinker.rs. */
struct rext4_shrinker {
	struct list_lru inodes;
	/* NULL as long as it is not started. */
	struct shrinker *shrinker;
	struct super_block *sb;
	unsigned long (*count)(struct super_block *sb);
	unsigned long (*scan)(struct super_block *sb, unsigned long *looks);
};

/* How an inode's turn ended. */
enum rext4_turn {
	REXT4_TURN_EMPTY,
	REXT4_TURN_OVER,
	REXT4_TURN_GOES_ON,
};

/* 0 or a negative errno. */
int rext4_shim_shrinker_init(struct rext4_shrinker *shrinker);
int rext4_shim_shrinker_start(
	struct rext4_shrinker *own, struct super_block *sb,
	unsigned long (*count)(struct super_block *sb),
	unsigned long (*scan)(struct super_block *sb, unsigned long *looks));
void rext4_shim_shrinker_stop(struct rext4_shrinker *own);
/* The list is empty, and the shrinker is stopped. */
void rext4_shim_shrinker_destroy(struct rext4_shrinker *own);
void rext4_shim_shrinker_add(struct rext4_shrinker *own,
			     struct list_head *entry);
void rext4_shim_shrinker_remove(struct rext4_shrinker *own,
				struct list_head *entry);
/* Calls each for the inodes of the list in turn, under its lock, until one goes on. */
void rext4_shim_shrinker_walk(struct rext4_shrinker *own,
			      enum rext4_turn (*each)(struct list_head *entry,
						      void *arg),
			      void *arg);

/*
 * The direct writes of an inode that are on the device and wait to be completed
 * by a worker.
 */
struct rext4_done_queue {
	struct llist_head ready;
	struct work_struct work;
};

void rext4_shim_done_queue_init(struct rext4_done_queue *queue,
				void (*complete)(struct work_struct *));
/* Adds one, in any context, and sees to it that a worker comes. */
void rext4_shim_done_queue_add(struct rext4_done_queue *queue,
			       struct llist_node *node,
			       struct workqueue_struct *workers);
/* Takes all, the one that was added last first; NULL if there are none. */
struct llist_node *rext4_shim_done_queue_take(struct work_struct *work);
/*
 * The super block's own workers, which it has since the request was an
 * asynchronous one: with those of all, the end of a write to the image of a
 * file system would wait for workers that wait for that file system.
 */
struct workqueue_struct *rext4_shim_dio_workers(struct inode *inode);
/* Has a direct write completed in a task that may wait for folios. */
void rext4_shim_complete_later(struct inode *inode, struct work_struct *work,
			       void (*complete)(struct work_struct *));
/*
 * Drops cached pages that may have been read before the data was there; at least
 * one byte. Waits for folios, and for writeback of those that were changed since,
 * unless that may be a store through a mapping (`stored_to`).
 */
void rext4_shim_invalidate_after_write(struct inode *inode, loff_t start,
				       size_t bytes, bool stored_to);

/* Files and requests. */
/* Whether a mapping is one that the file can be changed through. */
bool rext4_shim_may_be_stored_through(const struct vm_area_desc *desc);
/* What a page fault that wants to write has to do around the file system. */
vm_fault_t rext4_shim_page_mkwrite(struct vm_fault *fault,
				   const struct iomap_ops *ops);
struct inode *rext4_shim_file_inode(const struct file *file);
/* Whether no other open file can write to the inode, and this one can. */
bool rext4_shim_file_is_last_writer(const struct file *file);
bool rext4_shim_file_is_sync(const struct file *file);
/* Whether the current task is the owner of the file, or stands in for it. */
bool rext4_shim_file_is_own(const struct file *file);
void rext4_shim_file_can_odirect(struct file *file);
void rext4_shim_file_can_atomic_write(struct file *file);
void rext4_shim_file_accessed(struct file *file);
bool rext4_shim_iocb_is_dsync(const struct kiocb *iocb);
ssize_t rext4_shim_generic_write_sync(struct kiocb *iocb, ssize_t bytes);
void rext4_shim_iov_iter_truncate(struct iov_iter *iter, u64 count);
void rext4_shim_iov_iter_reexpand(struct iov_iter *iter, size_t count);
int rext4_shim_write_back(struct inode *inode, loff_t first, loff_t last);
int rext4_shim_read_page(struct address_space *mapping, loff_t at);
bool rext4_shim_is_kernel_thread(void);
size_t rext4_shim_iov_iter_count(const struct iov_iter *iter);

/* Direct I/O: what get_block answers. */
void rext4_shim_map_bh(struct buffer_head *map, struct inode *inode,
		       sector_t block, u32 len, bool is_new);
void rext4_shim_defer_completion(struct buffer_head *map);

void rext4_shim_dio_begin(struct inode *inode);
/*
 * Makes of zeros what the kernel's direct I/O can take for the inode, as large
 * as can be. It is no inode for anybody else.
 */
void rext4_shim_stand_in_init(struct inode *stand_in, struct inode *inode);
void rext4_shim_dio_end(struct inode *inode);
int rext4_shim_dio_count(struct inode *inode);

/* Whether the current task is a worker of a workqueue. */
bool rext4_shim_in_worker(void);

/* Whether the current task may use blocks that are reserved for these. */
bool rext4_shim_may_use_reserved(u32 uid, u32 gid);

void rext4_shim_might_sleep(void);
/* False if the task is killed, or the machine suspended, before the time is over. */
bool rext4_shim_sleep_killable(unsigned int seconds);
/* The name of the machine, cut, or with zero bytes behind it. */
void rext4_shim_node_name(char *name, size_t size);
void rext4_shim_panic(const char *device);
u32 rext4_shim_crc32c(u32 value, const void *bytes, size_t len);

/* Directories, for vfs/readdir.rs. */
struct dir_context;
struct file;

/* Whether the reader of an open directory takes positions of 31 bits only. */
bool rext4_shim_dir_positions_are_narrow(const struct file *file);
bool rext4_shim_dir_emit(struct dir_context *context, const char *name, int len,
			 u64 ino, unsigned int type);
/* Lets others run; true when the task is being killed. Sleeps. */
bool rext4_shim_pause(void);
bool rext4_shim_freezing(void);

/* Extended attributes and ACLs, for vfs/xattr.rs and vfs/posix_acl.rs. */
bool rext4_shim_may_list_trusted(void);
/* A list that is ours, with count entries yet to be set, or NULL. */
struct posix_acl *rext4_shim_posix_acl_alloc(unsigned int count);
/* id is a number of the initial user name space; only some tags have one. */
void rext4_shim_posix_acl_set_entry(struct posix_acl *acl, unsigned int index,
				    unsigned int tag, unsigned short permissions,
				    unsigned int id);
/* 0 or -EINVAL. */
int rext4_shim_posix_acl_valid(const struct posix_acl *acl);
void rext4_shim_posix_acl_release(struct posix_acl *acl);
void rext4_shim_posix_acl_ref(struct posix_acl *acl);
unsigned int rext4_shim_posix_acl_count(const struct posix_acl *acl);
/* The reverse of set_entry; id means nothing where the tag has none. */
void rext4_shim_posix_acl_get_entry(const struct posix_acl *acl,
				    unsigned int index, unsigned short *tag,
				    unsigned short *permissions,
				    unsigned int *id);
/*
 * The inode's access ACL as it has to be once its mode is this one: ours to
 * release, NULL if it has none, or an error pointer.
 */
struct posix_acl *rext4_shim_posix_acl_after_chmod(struct inode *inode,
						   umode_t mode);

/* Copies the name of the current task, of TASK_COMM_LEN bytes. */
void rext4_shim_task_name(char *name);

/* Wait queues, for vfs/wait.rs. */
void rext4_shim_init_waitqueue(struct wait_queue_head *head);
void rext4_shim_wake_up_all(struct wait_queue_head *head);
/* As prepare_to_wait_event(), killable; whether the process is being killed. */
bool rext4_shim_prepare_to_wait(struct wait_queue_head *head,
				struct wait_queue_entry *entry, bool killable);

#endif /* REXT4_SHIMS_H */
