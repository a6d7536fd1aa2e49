/* SPDX-License-Identifier: GPL-2.0 */
/* Functions over what bindgen can't translate: inline functions and macros. */
#ifndef REXT4_SHIMS_H
#define REXT4_SHIMS_H

#include <linux/buffer_head.h>
#include <linux/jbd2.h>

/* Logarithm of the size of a page, in bytes. */
unsigned int rext4_shim_page_shift(void);

/*
 * Buffers and block devices, for vfs/buffer.rs and vfs/block_device.rs.
 *
 * Two things of ours are kept in a buffer's b_state: a lock of its bytes, and
 * of which kinds its contents were found to be. They use the bits from the top
 * down, where no other file system on the same device has left anything.
 */
#define REXT4_BH_KINDS 5u

sector_t rext4_shim_bdev_sectors(struct block_device *bdev);
unsigned int rext4_shim_bdev_logical_block_size(struct block_device *bdev);
bool rext4_shim_bdev_read_only(struct block_device *bdev);

/* A reference to the buffer of a block that lies within the device, or NULL. */
struct buffer_head *rext4_shim_bh_get(struct block_device *bdev, sector_t block,
				      unsigned int size, bool movable);
/* Fills the buffer from the device unless it is filled: 0 or -EIO. Sleeps. */
int rext4_shim_bh_read(struct buffer_head *bh);
void rext4_shim_bh_ref(struct buffer_head *bh);
void rext4_shim_bh_lock(struct buffer_head *bh);
/* Fills a locked buffer with zeros; its former contents mean nothing now. */
void rext4_shim_bh_zero(struct buffer_head *bh);
void rext4_shim_bh_lock_bytes(struct buffer_head *bh);
void rext4_shim_bh_unlock_bytes(struct buffer_head *bh);
bool rext4_shim_bh_is_kind(struct buffer_head *bh, unsigned int kind);
void rext4_shim_bh_set_kind(struct buffer_head *bh, unsigned int kind);
void rext4_shim_bh_clear_kinds(struct buffer_head *bh);

/* The journal, for vfs/jbd2.rs. */
bool rext4_shim_in_transaction(void);
bool rext4_shim_journal_is_aborted(journal_t *journal);
bool rext4_shim_journal_has_barriers(journal_t *journal);
bool rext4_shim_journal_has_fast_commit(journal_t *journal);
tid_t rext4_shim_journal_latest_tid(journal_t *journal);
/* A commit interval of 0 seconds is jbd2's default. */
void rext4_shim_journal_configure(journal_t *journal, unsigned int commit_seconds,
				  bool barriers, u32 min_batch_us, u32 max_batch_us);
/* As jbd2__journal_start(): a handle or an error pointer. */
handle_t *rext4_shim_journal_start(journal_t *journal, int blocks, int revokes);
int rext4_shim_handle_restart(handle_t *handle, int blocks, int revokes);
bool rext4_shim_handle_is_aborted(handle_t *handle);
int rext4_shim_handle_credits(handle_t *handle);
void rext4_shim_handle_set_sync(handle_t *handle);
/* False if the handle has lost its transaction in a restart that failed. */
bool rext4_shim_handle_tid(handle_t *handle, tid_t *tid);

#endif /* REXT4_SHIMS_H */
