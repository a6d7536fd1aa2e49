// SPDX-License-Identifier: GPL-2.0
/* Shims for writes that are there as a whole or not at all. */
#include <linux/blkdev.h>
#include <linux/fs.h>

#include "shims.h"

unsigned int rext4_shim_bdev_atomic_unit_min(struct block_device *bdev)
{
	return bdev_atomic_write_unit_min_bytes(bdev);
}

unsigned int rext4_shim_bdev_atomic_unit_max(struct block_device *bdev)
{
	return bdev_atomic_write_unit_max_bytes(bdev);
}

void rext4_shim_file_can_atomic_write(struct file *file)
{
	file->f_mode |= FMODE_CAN_ATOMIC_WRITE;
}
