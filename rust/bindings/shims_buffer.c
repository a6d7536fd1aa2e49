// SPDX-License-Identifier: GPL-2.0
/* Shims for buffers: blocks of a device in memory. */
#include <linux/bit_spinlock.h>
#include <linux/buffer_head.h>
#include <linux/fs.h>
#include <linux/jbd2.h>

#include "shims.h"

/* In b_state: the lock of a buffer's bytes, and below it the rest. */
#define BYTES_LOCK_BIT		(BITS_PER_LONG - 1)
#define LATE_BIT		(BYTES_LOCK_BIT - 1)
#define KIND_BIT(kind)		(LATE_BIT - 1 - (kind))

static_assert(KIND_BIT(REXT4_BH_KINDS - 1) >= BH_JBDPrivateStart);

struct buffer_head *rext4_shim_bh_get(struct block_device *bdev, sector_t block,
				      unsigned int size, bool movable)
{
	if (movable)
		return __getblk(bdev, block, size);
	return getblk_unmovable(bdev, block, size);
}

bool rext4_shim_bh_is_filled(struct buffer_head *bh)
{
	/*
	 * A block that could not be written is not up to date any more, but
	 * what is in memory is newer than what is on disk. To read it again
	 * would bring back the past. The journal gives up on such an error.
	 */
	if (buffer_write_io_error(bh) && !buffer_uptodate(bh))
		set_buffer_uptodate(bh);
	return buffer_uptodate(bh);
}

int rext4_shim_bh_read(struct buffer_head *bh)
{
	rext4_shim_bh_is_filled(bh);
	return bh_read(bh, REQ_META | REQ_PRIO) < 0 ? -EIO : 0;
}

void rext4_shim_bh_read_ahead(struct block_device *bdev, sector_t block,
			      unsigned int size)
{
	struct buffer_head *bh = bdev_getblk(bdev, block, size,
					     GFP_NOWAIT | __GFP_MOVABLE);

	if (!bh)
		return;
	/* As in rext4_shim_bh_read: what could not be written is newer. */
	if (!buffer_write_io_error(bh))
		bh_readahead(bh, REQ_RAHEAD);
	brelse(bh);
}

void rext4_shim_bh_ref(struct buffer_head *bh)
{
	get_bh(bh);
}

struct buffer_head *rext4_shim_bh_find(struct block_device *bdev, sector_t block,
				       unsigned int size)
{
	struct buffer_head *bh = __find_get_block(bdev, block, size);

	if (bh && !buffer_uptodate(bh)) {
		__brelse(bh);
		return NULL;
	}
	return bh;
}

struct buffer_head *rext4_shim_bh_find_newer(struct block_device *bdev,
					     sector_t block, unsigned int size)
{
	struct buffer_head *bh = rext4_shim_bh_find_any(bdev, block, size);

	/*
	 * The journal has it until it is on the device, or could not be
	 * written there.
	 */
	if (bh && !(rext4_shim_bh_is_filled(bh) &&
		    (buffer_jbd(bh) || buffer_dirty(bh) ||
		     buffer_write_io_error(bh)))) {
		__brelse(bh);
		return NULL;
	}
	return bh;
}

struct buffer_head *rext4_shim_bh_find_any(struct block_device *bdev, sector_t block,
					   unsigned int size)
{
	/* The other one misses a buffer whose memory is about to be moved. */
	return __find_get_block_nonatomic(bdev, block, size);
}

void rext4_shim_bh_lock(struct buffer_head *bh)
{
	lock_buffer(bh);
}

void rext4_shim_bh_zero(struct buffer_head *bh)
{
	rext4_shim_bh_clear_kinds(bh);
	clear_bit(LATE_BIT, &bh->b_state);
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

void rext4_shim_bh_checksum_late(struct buffer_head *bh,
				 struct jbd2_buffer_trigger_type *trigger,
				 unsigned int kind)
{
	/*
	 * Whoever has access keeps the head, unless somebody else of the same
	 * transaction forgets the buffer: where two of them have it, which is damage.
	 */
	struct journal_head *jh = jbd2_journal_grab_journal_head(bh);

	if (!jh)
		return;
	if (READ_ONCE(jh->b_triggers) != trigger)
		jbd2_journal_set_triggers(bh, trigger);
	jbd2_journal_put_journal_head(jh);
	if (!test_bit(KIND_BIT(kind), &bh->b_state))
		rext4_shim_bh_set_kind(bh, kind);
	if (!test_bit(LATE_BIT, &bh->b_state))
		set_bit(LATE_BIT, &bh->b_state);
}

bool rext4_shim_bh_take_late(struct buffer_head *bh)
{
	return test_and_clear_bit(LATE_BIT, &bh->b_state);
}

int rext4_shim_bh_write_and_unlock(struct buffer_head *bh)
{
	struct bio_vec vec;
	struct bio bio;
	int ret = -EIO;

	/* A device that is gone has its buffers unmapped. */
	if (!buffer_mapped(bh))
		goto unlock;
	/* Of what jbd2 may look at, nothing changes but with the lock. */
	set_buffer_uptodate(bh);
	clear_buffer_write_io_error(bh);
	clear_buffer_dirty(bh);
	bio_init(&bio, bh->b_bdev, &vec, 1,
		 REQ_OP_WRITE | REQ_SYNC | REQ_FUA | REQ_META | REQ_PRIO);
	bio.bi_iter.bi_sector = bh->b_blocknr * (bh->b_size >> SECTOR_SHIFT);
	bio_add_folio_nofail(&bio, bh->b_folio, bh->b_size, bh_offset(bh));
	ret = submit_bio_wait(&bio) ? -EIO : 0;
	bio_uninit(&bio);
	/* What is in memory is still the newest. */
	if (ret)
		mark_buffer_write_io_error(bh);
unlock:
	unlock_buffer(bh);
	return ret;
}
