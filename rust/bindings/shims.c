// SPDX-License-Identifier: GPL-2.0
#include <linux/bit_spinlock.h>
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/jbd2.h>
#include <linux/mm.h>

#include "shims.h"

unsigned int rext4_shim_page_shift(void)
{
	return PAGE_SHIFT;
}

/* In b_state: the lock of a buffer's bytes, and below it the known kinds. */
#define BYTES_LOCK_BIT		(BITS_PER_LONG - 1)
#define KIND_BIT(kind)		(BYTES_LOCK_BIT - 1 - (kind))

static_assert(KIND_BIT(REXT4_BH_KINDS - 1) >= BH_JBDPrivateStart);

sector_t rext4_shim_bdev_sectors(struct block_device *bdev)
{
	return bdev_nr_sectors(bdev);
}

unsigned int rext4_shim_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

bool rext4_shim_bdev_read_only(struct block_device *bdev)
{
	return bdev_read_only(bdev);
}

struct buffer_head *rext4_shim_bh_get(struct block_device *bdev, sector_t block,
				      unsigned int size, bool movable)
{
	if (movable)
		return __getblk(bdev, block, size);
	return getblk_unmovable(bdev, block, size);
}

int rext4_shim_bh_read(struct buffer_head *bh)
{
	/*
	 * A block that could not be written is not up to date any more, but
	 * what is in memory is newer than what is on disk. To read it again
	 * would bring back the past. The journal gives up on such an error.
	 */
	if (buffer_write_io_error(bh) && !buffer_uptodate(bh))
		set_buffer_uptodate(bh);
	return bh_read(bh, REQ_META | REQ_PRIO) < 0 ? -EIO : 0;
}

void rext4_shim_bh_ref(struct buffer_head *bh)
{
	get_bh(bh);
}

void rext4_shim_bh_lock(struct buffer_head *bh)
{
	lock_buffer(bh);
}

void rext4_shim_bh_zero(struct buffer_head *bh)
{
	rext4_shim_bh_clear_kinds(bh);
	rext4_shim_bh_lock_bytes(bh);
	memset(bh->b_data, 0, bh->b_size);
	rext4_shim_bh_unlock_bytes(bh);
	set_buffer_uptodate(bh);
}

void rext4_shim_bh_lock_bytes(struct buffer_head *bh)
{
	bit_spin_lock(BYTES_LOCK_BIT, &bh->b_state);
}

void rext4_shim_bh_unlock_bytes(struct buffer_head *bh)
{
	bit_spin_unlock(BYTES_LOCK_BIT, &bh->b_state);
}

bool rext4_shim_bh_is_kind(struct buffer_head *bh, unsigned int kind)
{
	return test_bit_acquire(KIND_BIT(kind), &bh->b_state);
}

void rext4_shim_bh_set_kind(struct buffer_head *bh, unsigned int kind)
{
	smp_mb__before_atomic();
	set_bit(KIND_BIT(kind), &bh->b_state);
}

void rext4_shim_bh_clear_kinds(struct buffer_head *bh)
{
	unsigned int kind;

	for (kind = 0; kind < REXT4_BH_KINDS; kind++)
		clear_bit(KIND_BIT(kind), &bh->b_state);
}

bool rext4_shim_in_transaction(void)
{
	return journal_current_handle() != NULL;
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

handle_t *rext4_shim_journal_start(journal_t *journal, int blocks, int revokes)
{
	return jbd2__journal_start(journal, blocks, 0, revokes, GFP_NOFS, 0, 0);
}

int rext4_shim_handle_restart(handle_t *handle, int blocks, int revokes)
{
	return jbd2__journal_restart(handle, blocks, revokes, GFP_NOFS);
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
