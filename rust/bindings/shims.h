/* SPDX-License-Identifier: GPL-2.0 */
/* Functions over what bindgen can't translate: inline functions and macros. */
#ifndef REXT4_SHIMS_H
#define REXT4_SHIMS_H

/* Logarithm of the size of a page, in bytes. */
unsigned int rext4_shim_page_shift(void);

#endif /* REXT4_SHIMS_H */
