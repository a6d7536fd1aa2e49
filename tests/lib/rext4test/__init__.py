# SPDX-License-Identifier: GPL-2.0
"""What the guest tests share. A test is in tests/guest and runs as root in a guest."""
