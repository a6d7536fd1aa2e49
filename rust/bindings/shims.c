// SPDX-License-Identifier: GPL-2.0
#include <linux/mm.h>

#include "shims.h"

unsigned int rext4_shim_page_shift(void)
{
	return PAGE_SHIFT;
}
