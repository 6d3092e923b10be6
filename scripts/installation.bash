# What scripts/install and scripts/uninstall agree on; sourced by both. DESTDIR stands before every path that is touched.
#
#   PREFIX/lib/volfs/venv-*      the program with all that it needs, one directory a version
#   PREFIX/lib/volfs/current     which of them is used: a link, swapped in one step
#   PREFIX/lib/volfs/installed   what was put elsewhere: "MARK PATH", for directories that were made "dir PATH"
#
# Law: what is there and is not as install left it belongs to somebody else.
# shellcheck shell=bash disable=SC2034

me=scripts/$(basename "$0")
units=/etc/systemd/system
defaults=/etc/default/volfs
dest=${DESTDIR-}
dest=${dest%/}

fail() { echo "$me: $*" >&2; exit 1; }
say() { echo "$me: $*" >&2; }

take_prefix() {
    case $1 in /*) ;; *) fail "--prefix takes an absolute path" ;; esac
    prefix=${1%/}
    lib=$prefix/lib/volfs
    manifest=$dest$lib/installed
}

check_user() { # whoever stages needs no rights but those on DESTDIR
    [ "$(id -u)" = 0 ] || [ -n "$dest" ] || fail "only root can do this: sudo $me"
}

mark() { # mark PATH: what the file or the link at PATH is, as one word
    if [ -L "$1" ]; then
        echo "link:$(readlink "$1")"
    else
        sha256sum < "$1" | cut -d' ' -f1
    fi
}

is_there() { [ -e "$1" ] || [ -L "$1" ]; }

is_ours() { # is_ours PATH: as install left it
    [ -e "$manifest" ] && grep -qxF "$(mark "$dest$1") $1" "$manifest"
}

systemd_runs() { [ -z "$dest" ] && [ -d /run/systemd/system ]; } # sd_booted(3)

keepers() { # the processes that serve with the installed program, one a line
    local directory words
    for directory in /proc/[0-9]*; do
        mapfile -d '' -t words 2> /dev/null < "$directory/cmdline" || continue
        if [ "${words[0]-}" = "$dest$lib/current/bin/python" ] && [[ " ${words[*]} " == *" -m volfs serve "* ]]; then
            echo "${directory#/proc/}"
        fi
    done
}
