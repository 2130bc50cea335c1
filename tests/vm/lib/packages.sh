# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# Debian packages, without root and without installing any: an apt of our own, which has
# its lists, its state and its archives in the cache, and asks the mirror that
# the host's apt is configured for. Packages are downloaded, checked by apt as always,
# and unpacked by others.
#
# What will surprise: this apt believes that nothing is installed, so a closure of
# dependencies is complete, down to libc. And it always asks for Debian 12 ("bookworm"),
# whatever the host runs: that is the release that has QEMU 7.2, the last but few that
# speaks protocol v1, and in its backports and security suites newer kernels and QEMUs.

readonly suite=bookworm
readonly lists_max_age_minutes=1440
apt_dir=$cache/apt
debs=$cache/debs

# The mirror of the host, for the archive with this label: "Debian" or "Debian-Security".
mirror_of() { # LABEL
	# shellcheck disable=SC2016 # the dollars are apt's
	apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' |
		sed -n "s/^$1|//p" | head -n 1
}

# Lines of sources.list for the suites that we take packages from.
our_sources() {
	local main security options=arch=amd64 keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	main=$(mirror_of Debian)
	security=$(mirror_of Debian-Security)
	[[ -n $main ]] || return 1
	[[ ! -f $keyring ]] || options+=" signed-by=$keyring"
	echo "deb [$options] $main $suite main"
	echo "deb [$options] $main $suite-backports main"
	[[ -z $security ]] || echo "deb [$options] $security $suite-security main"
}

# Everything that apt reads or writes beside the host's proxies and credentials for mirrors.
our_apt_conf() {
	cat <<-END
		Dir::State "$apt_dir/state";
		Dir::State::status "$apt_dir/status";
		Dir::Cache "$apt_dir/cache";
		Dir::Cache::archives "$debs";
		Dir::Cache::pkgcache "pkgcache.bin";
		Dir::Cache::srcpkgcache "srcpkgcache.bin";
		Dir::Etc::sourcelist "$apt_dir/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		Acquire::Languages "none";
		Acquire::http::Timeout "20";
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Install-Recommends "false";
		APT::Sandbox::User "";
		APT::Get::Assume-Yes "true";
		Debug::NoLocking "true";
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Pre-Install-Pkgs;
	END
}

our_apt() { # TOOL ARGUMENT...
	local tool=$1
	shift
	"$tool" -q -c "$apt_dir/apt.conf" "$@"
}

packages_begin() {
	mkdir -p "$apt_dir/state/lists/partial" "$apt_dir/cache" "$debs/partial"
	: >"$apt_dir/status"
	our_apt_conf >"$apt_dir/apt.conf"
	our_sources >"$apt_dir/sources.list.new" ||
		skip "apt of this host has no archive of Debian configured, which packages could be had from"
	cmp -s "$apt_dir/sources.list.new" "$apt_dir/sources.list" ||
		cp "$apt_dir/sources.list.new" "$apt_dir/sources.list"
	refresh_lists
}

# Ask the mirror what there is, once a day. Without a network, yesterday's lists will do.
refresh_lists() {
	local stamp=$apt_dir/updated
	[[ -z $(find "$stamp" -mmin "-$lists_max_age_minutes" -newer "$apt_dir/sources.list" 2>/dev/null) ]] || return 0
	if our_apt apt-get update -o APT::Update::Error-Mode=any >"$apt_dir/update.log" 2>&1; then
		touch "$stamp"
		return
	fi
	[[ -e $stamp ]] ||
		skip "the package lists of $suite cannot be had: $(grep -m 1 '^E:' "$apt_dir/update.log")"
	say "the mirror does not answer; package lists of $(date -r "$stamp" +%F) are used"
}

# Download what is not here yet, and print the paths of all files. WHAT is "closure", the packages
# with all they depend on, or "alone". A package may be NAME=VERSION or NAME/SUITE.
fetch() { # closure|alone PACKAGE...
	local what=$1 wanted uris file
	shift
	wanted=$apt_dir/wanted-$(digest_of "$what" "$@")
	case $what in
	closure) uris=(install --print-uris "$@") ;;
	alone) uris=(download --print-uris "$@") ;;
	esac
	# packages that are all here need no uri, and no network
	our_apt apt-get -o Dir::Cache::archives="$apt_dir/none" "${uris[@]}" 2>"$wanted.err" |
		sed -n "s/^'\([^']*\)' \([^ ]*\) \([0-9]*\) .*/\2 \3/p" >"$wanted" || : >"$wanted"
	[[ -s $wanted ]] || die "apt knows no such packages: $*: $(tail -n 1 "$wanted.err")"
	download_missing "$wanted" "$what" "$@"
	sed "s|^\([^ ]*\) .*|$debs/\1|" "$wanted" | while IFS= read -r file; do
		touch "$file"
		echo "$file"
	done
}

download_missing() { # LIST closure|alone PACKAGE...
	local list=$1 what=$2 name size missing=0
	shift 2
	while read -r name size; do
		[[ -f $debs/$name ]] || missing=$((missing + size))
	done <"$list"
	((missing > 0)) || return 0
	say "downloading $((missing / 1000000)) MB: $*"
	echo "$missing" >>"$cache/downloaded"
	case $what in
	closure) our_apt apt-get install --download-only "$@" ;;
	alone) (cd "$debs" && our_apt apt-get download "$@") ;;
	esac >"$apt_dir/download.log" 2>&1 || {
		rm -f "$apt_dir/updated" # the lists may be older than the mirror
		skip "packages cannot be downloaded: $(grep -E '^[EW]:' "$apt_dir/download.log" | head -n 1)"
	}
}

# Unpack some paths of a package, or all of it.
unpack() { # FILE DIR PATH...
	local file=$1 dir=$2
	shift 2
	mkdir -p "$dir"
	dpkg-deb --fsys-tarfile "$file" | tar -x --wildcards -C "$dir" -f - "$@"
}
