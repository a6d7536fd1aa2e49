# SPDX-License-Identifier: GPL-2.0
"""What the commands in scripts/ share: cache, build root, kernels, guests."""
