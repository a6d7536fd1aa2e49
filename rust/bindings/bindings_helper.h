/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel headers that rext4 uses. What bindgen makes of them is limited by
 * allowlist.txt; what it can't translate is wrapped in shims.c.
 */

#include <linux/buffer_head.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/iomap.h>
#include <linux/jbd2.h>

#include "shims.h"
