// SPDX-License-Identifier: GPL-2.0
/* Shims for changes that are written in place, without a journal. */
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/sched.h>

#include "shims.h"

unsigned int rext4_shim_bdev_block_size(struct block_device *bdev)
{
	return block_size(bdev);
}

void rext4_shim_bh_mark_dirty(struct buffer_head *bh)
{
	/* A device that is gone has its buffers unmapped. */
	if (!buffer_mapped(bh))
		return;
	/* It is not after it could not be written, though nothing is newer. */
	set_buffer_uptodate(bh);
	mark_buffer_dirty(bh);
}

/* The lowest bit says whether it was wanted that the epoch is written. */
#define SHARE_WANTED 1ul

void *rext4_shim_share_of_task(void)
{
	return (void *)((unsigned long)current->journal_info & ~SHARE_WANTED);
}

void rext4_shim_share_begin(void *shared)
{
	current->journal_info = shared;
}

void rext4_shim_share_want_written(void)
{
	current->journal_info =
		(void *)((unsigned long)current->journal_info | SHARE_WANTED);
}

bool rext4_shim_share_end(void)
{
	bool wanted = (unsigned long)current->journal_info & SHARE_WANTED;

	current->journal_info = NULL;
	return wanted;
}

u32 rext4_shim_bdev_write_errors(struct block_device *bdev)
{
	errseq_t since = 0;

	/* Seen from now on: one that nobody has seen would count as a new one. */
	errseq_check_and_advance(&bdev->bd_mapping->wb_err, &since);
	return since;
}

bool rext4_shim_bdev_write_failed(struct block_device *bdev, u32 since)
{
	return errseq_check(&bdev->bd_mapping->wb_err, since) != 0;
}
