# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck shell=bash

# Completion for bash. It asks the command itself, so there is nothing to keep up.

_vfmig() {
	local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]:-}

	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$(vfmig --list-verbs) --help --version" -- "$word")
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(vfmig "$verb" --list-options 2>/dev/null)" -- "$word")
		if [[ ${COMPREPLY[0]:-} == *= ]]; then compopt -o nospace 2>/dev/null || true; fi
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	fi
	return 0
}

complete -o filenames -F _vfmig vfmig
