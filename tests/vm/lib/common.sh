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

# Make DIR by calling COMMAND with a new directory, which takes DIR's place only when all
# of it went well: an interrupted run leaves nothing that looks whole.
make_once() { # DIR COMMAND ARGUMENT...
	local dir=$1 new=$1.new.$$
	shift
	[[ ! -d $dir ]] || return 0
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
