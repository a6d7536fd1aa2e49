# SPDX-License-Identifier: GPL-2.0
"""Running an xfstests tree that the user built, in our guests."""
