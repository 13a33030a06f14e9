#!/usr/bin/env bash
# The control plane beside two servers nobody here wrote:
#   run.sh [calls|programs|moto|hook|kms]...      (without arguments: all)
# `calls` plays one scenario of calls on the local core, moto_server and ministack and compares, with
# agreed/calls.toml; `programs` lives an operator's day with the programs there, with agreed/programs.toml;
# `moto` runs moto's own tests of AWS IoT against the local core, with moto_tests.toml; `hook` asks the
# pre-provisioning hook (HOOK, by default the one in TARGET/debug), whose list is a table of moto's; `kms` makes CAs whose
# keys are in moto's KMS. Packages go below
# target/witnesses, pinned; the servers listen on free loopback ports and end with the run. The programs are
# taken from BIN (default: bin). What cannot be installed is skipped, counted and named.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/witnesses
mkdir -p "$target/logs"
target=$(cd "$target" && pwd)
BIN=$(cd "${BIN:-$root/bin}" && pwd) || exit 1
LOGS=$target/logs MOTO_TREE=$target/moto-tests
export BIN LOGS MOTO_TREE PYTHONDONTWRITEBYTECODE=1
python=$target/venv/bin/python

moto_version=$(sed -n 's/^moto\[.*\]==//p' "$here/requirements.txt")
judge_seconds=900
. "$here/../judges.sh"

main() {
    local judges=("$@") judge
    if [ ! -x "$BIN/iot-local" ]; then
        echo "run.sh: no programs in $BIN; remedy: make" >&2
        exit 1
    fi
    [ ${#judges[@]} -gt 0 ] || judges=(calls programs moto hook kms)
    install_packages
    for judge in "${judges[@]}"; do
        printf '\n%s\n' "$judge"
        case $judge in
            calls | programs) run_judge "$judge" "$target/venv/installed" "$python" "$here/compare.py" "$judge" ;;
            moto) run_judge "$judge" "$MOTO_TREE/installed" "$python" "$here/moto_tests.py" ;;
            hook) judge_hook ;;
            kms) run_judge kms "$target/venv/installed" "$python" "$here/kms.py" ;;
            *)
                echo "run.sh: unknown: $judge (known: calls programs moto hook kms)" >&2
                exit 2
                ;;
        esac
    done
    tell_count
}

# Each folder is marked when it is complete.
install_packages() {
    local venv=$target/venv log=$target/install.log
    if ! python_packages "$venv" "$here/requirements.txt" "$log"; then
        echo "run.sh: cannot install the Python packages: see $log" >&2
        return
    fi
    if [ "$(cat "$MOTO_TREE/installed" 2>/dev/null)" != "$moto_version" ]; then
        # The tests are in moto's source package only.
        rm -rf "$MOTO_TREE"
        mkdir -p "$MOTO_TREE"
        if "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary moto \
            --dest "$target" "moto==$moto_version" >>"$log" 2>&1 &&
            tar xzf "$target/moto-$moto_version.tar.gz" -C "$MOTO_TREE" --strip-components=1 --wildcards \
                '*/tests/__init__.py' '*/tests/conftest.py' '*/tests/markers.py' \
                '*/tests/test_iot/*' '*/tests/test_iotdata/*' '*/setup.cfg'; then
            echo "$moto_version" >"$MOTO_TREE/installed"
        else
            echo "run.sh: cannot have moto's tests: see $log" >&2
        fi
    fi
}

judge_hook() {
    local hook=${HOOK:-${CARGO_TARGET_DIR:-$root/target}/debug/pre-provision}
    if [ ! -x "$hook" ]; then
        skip_judge hook "$hook is not built; remedy: cargo build --workspace --bin pre-provision"
        return
    fi
    run_judge hook "$target/venv/installed" "$python" "$here/hook.py" "$hook"
}

main "$@"
