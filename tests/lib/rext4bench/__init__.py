# SPDX-License-Identifier: GPL-2.0
"""The jobs of `make bench`: what they are (read by both sides), and how the guest does them."""
