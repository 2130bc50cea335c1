# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# What every part of the machine tier needs: how to speak, to give up, to skip, and
# how something that takes long is made only once. It knows no package, no kernel
# and no machine.

say() {
	printf '%s\n' "vm: $*" >&2
}

die() {
	say "$*"
	exit 1
}

# Not a failure: this host cannot run the tier, and why. 77 is what test runners take for that.
skip() {
	say "skipped: $*"
	exit 77
}

# The cache is a folder of ours alone, because we also remove things from it.
open_cache() { # DIR
	mkdir -p "$1" || exit
	[[ -e $1/vfmig-vm-cache || -z $(ls -A "$1") ]] || die "$1 is not empty, and no cache of ours"
	: >"$1/vfmig-vm-cache"
}

# What no run has used for a month is not kept: releases come and go.
forget_unused() { # CACHE
	find "$1/debs" "$1/kernels" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
	find "$1" -mindepth 1 -maxdepth 1 \( -name 'userland-*' -o -name 'source-*' \) -mtime +30 -exec rm -rf {} +
}

# Make DIR by calling COMMAND with a new directory, which takes DIR's place only when all
# of it went well: an interrupted run leaves nothing that looks whole.
make_once() { # DIR COMMAND ARGUMENT...
	local dir=$1 new=$1.new.$$
	shift
	[[ ! -d $dir ]] || { touch "$dir" && return; }
	rm -rf "$new"
	mkdir -p "$new"
	"$@" "$new" || {
		rm -rf "$new"
		return 1
	}
	mv "$new" "$dir"
}

# Run COMMAND with its output in LOG, which is shown if it fails.
quietly() { # LOG COMMAND ARGUMENT...
	local log=$1
	shift
	mkdir -p "$(dirname "$log")"
	"$@" >"$log" 2>&1 || {
		say "failed: $*"
		tail -n 40 "$log" >&2
		return 1
	}
}

# A short name for what is made of these: of file names, or of what files contain.
digest_of() { # TEXT...
	printf '%s\n' "$@" | sha256sum | cut -c1-12
}
