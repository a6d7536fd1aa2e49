# SPDX-License-Identifier: GPL-2.0
#
# For people. Kbuild, beside this file, is what the kernel's build reads.

# A target does its own set-up; the first time that takes some minutes.
KERNEL ?= stock
T ?=
B ?=

.PHONY: help
help:
	@sed -n 's/^#: //p' $(firstword $(MAKEFILE_LIST))

.PHONY: host
host:
	@scripts/setup-host

#: make run                 do the main job in a guest, and show the result
.PHONY: run
run: host
	@scripts/run-demo

#: make test [T=name…]      all tests, or those named
.PHONY: test
test: host
	@scripts/test $(T)

#: make test-kasan          KUnit and all guest tests on the KASAN kernel
.PHONY: test-kasan
test-kasan: host
	@scripts/test --kasan $(T)

#: make test-long [T=name…] what takes minutes to hours: a million operations, a real build …
.PHONY: test-long
test-long: host
	@scripts/test --long $(T)

#: make bench [B=options]   measure rext4 beside C ext4, in turn; see scripts/bench --help
.PHONY: bench
bench: host
	@scripts/bench $(B)

#: make check               formatting, lints, documentation, shell scripts
.PHONY: check
check: host
	@scripts/check

#: make kunit               only the KUnit tests, on the debug kernel
.PHONY: kunit
kunit: host
	@scripts/test kunit

#: make module [KDIR=DIR]   build rext4.ko for Debian's kernel, or for the one built in DIR
#:             [KERNEL=K]   … or for the project's own: debug, kasan
# With KDIR, this machine's own tools may do.
.PHONY: module
module: $(if $(KDIR),,host)
	@scripts/module $(if $(KDIR),--kdir '$(KDIR)',--kernel $(KERNEL))

#: make shell [KERNEL=K]    a shell in a guest with the module loaded
.PHONY: shell
shell: host
	@scripts/guest --kernel $(KERNEL) --disk 1G --disk 1G --timeout 86400 --interactive

#: make setup               only the set-up: build root, kernels, guest
.PHONY: setup
setup: host
	@scripts/setup

#: make upgrade-kernel      ask for a newer kernel of the supported series
.PHONY: upgrade-kernel
upgrade-kernel: host
	@scripts/setup --upgrade-kernel

#: make clean               remove what was built here (the cache stays)
.PHONY: clean
clean:
	rm -rf build
