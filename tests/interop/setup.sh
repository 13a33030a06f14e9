#!/usr/bin/env bash
# Installs what the judges need, from the ordinary registries:
#   setup.sh [openssl|gnutls|mosquitto|python|node]...      (without arguments: everything)
# System packages come from apt (as root, or through sudo); Python and Node packages go below
# target/interop, pinned. What cannot be had is named in one line; run.sh then skips those judges.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}/interop
mkdir -p "$target"
target=$(cd "$target" && pwd)
. "$here/../judges.sh"
# Debian keeps daemons where ordinary users do not look.
PATH=$PATH:/usr/sbin

main() {
    local wanted=("$@") what
    [ ${#wanted[@]} -gt 0 ] || wanted=(openssl gnutls mosquitto python node)
    for what in "${wanted[@]}"; do
        case $what in
            openssl) system_package openssl command -v openssl ;;
            gnutls) system_package gnutls-bin command -v certtool ;;
            mosquitto)
                system_package mosquitto command -v mosquitto
                system_package mosquitto-clients command -v mosquitto_pub
                ;;
            python) judges_packages ;;
            node) node_packages ;;
            *)
                echo "setup.sh: unknown: $what (known: openssl gnutls mosquitto python node)" >&2
                exit 2
                ;;
        esac
    done
}

cannot() { echo "setup.sh: cannot install $1: $2" >&2; }

# system_package PACKAGE CHECK...: installs the package unless the check says that it is here.
system_package() {
    local package=$1 log=$target/apt.log
    shift
    "$@" >/dev/null 2>&1 && return
    if ! command -v apt-get >/dev/null; then
        cannot "$package" "this is no Debian; install it by other means"
    elif ! as_root true; then
        cannot "$package" "neither root nor password-less sudo"
    else
        refresh_package_lists
        quietly_install "$package" >"$log" 2>&1 || cannot "$package" "see $log"
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@" 2>/dev/null; fi
}

refreshed=
refresh_package_lists() {
    [ -z "$refreshed" ] || return 0
    refreshed=yes
    as_root apt-get update -qq >"$target/apt.log" 2>&1 || :
}

# Debian starts a service the moment it is installed. The judges want mosquitto's programs, not a
# broker listening on the machine, now or after the next boot.
quietly_install() {
    local veto=/usr/sbin/policy-rc.d made="" status=0
    if [ ! -e "$veto" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$veto" >/dev/null
        as_root chmod 0755 "$veto"
        made=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$1" || status=$?
    [ -z "$made" ] || as_root rm -f "$veto"
    if [ "$1" = mosquitto ] && command -v systemctl >/dev/null; then
        as_root systemctl disable mosquitto || :
    fi
    return $status
}

judges_packages() {
    system_package python3-venv python3 -c 'import ensurepip, venv'
    python_packages "$target/venv" "$here/requirements.txt" "$target/pip.log" ||
        cannot "the Python packages" "see $target/pip.log"
    python_packages "$target/makers" "$here/requirements-makers.txt" "$target/makers.log" ||
        cannot "the tools of makers of boards" "see $target/makers.log"
}

node_packages() {
    local folder=$target/node log=$target/npm.log
    cmp -s "$here/package.json" "$folder/installed" && return
    system_package nodejs command -v node
    system_package npm command -v npm
    mkdir -p "$folder"
    cp "$here/package.json" "$folder/package.json"
    if npm install --prefix "$folder" --no-audit --no-fund --no-package-lock >"$log" 2>&1; then
        cp "$here/package.json" "$folder/installed"
    else
        cannot "the Node packages" "see $log"
    fi
}

main "$@"
