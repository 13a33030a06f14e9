#!/usr/bin/env bash
# Runs the judges, each against a fresh local core, and counts their cases:
#   run.sh [JUDGE]...      (without arguments: all; for example `run.sh gate tls_scan`)
# The programs are taken from BIN (default: bin). What an install step could not provide is
# skipped, counted and named. What judges and cores write on stderr is in target/interop/JUDGE.log.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/interop
mkdir -p "$target"
target=$(cd "$target" && pwd)
BIN=$(cd "${BIN:-$root/bin}" && pwd) || exit 1
export BIN PYTHONDONTWRITEBYTECODE=1
# Nothing of the caller's own AWS set-up or proxies may have a say.
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
export NO_PROXY=localhost,127.0.0.1 no_proxy=localhost,127.0.0.1
# Debian keeps daemons where ordinary users do not look.
PATH=$PATH:/usr/sbin

# A judge that takes longer hangs.
judge_seconds=180
all=(certificates programs control_plane awscli gate provisioning tls_scan mqtt_clients aws_sdk fleet node_clients durability)
passed=0 failed=0 skipped=0

main() {
    local judges=("$@") judge
    if [ ! -x "$BIN/iot-local" ]; then
        echo "run.sh: no programs in $BIN; remedy: make" >&2
        exit 1
    fi
    [ ${#judges[@]} -gt 0 ] || judges=("${all[@]}")
    for judge in "${judges[@]}"; do
        run_judge "$judge"
    done
    echo
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
}

run_judge() {
    local judge=$1 command missing output status started=$SECONDS
    printf '\n%s\n' "$judge"
    case $judge in
        node_clients) command=(node "$here/node_clients.js" "$target/node/node_modules") ;;
        awscli) command=("$here/awscli.sh" "$target/venv/bin/aws") ;;
        *) command=("$target/venv/bin/python" "$here/$judge.py") ;;
    esac
    missing=$(what_is_missing "$judge")
    if [ -n "$missing" ]; then
        echo "skip $judge: not installed: $missing"
        skipped=$((skipped + 1))
        return
    fi
    case $judge in
        certificates | programs | durability) ;; # these need no core, or start their own
        *) command=("$BIN/iot-local" run -- "${command[@]}") ;;
    esac
    output=$target/$judge.out
    timeout --foreground --kill-after=10 "$judge_seconds" "${command[@]}" 2>"$target/$judge.log" | tee "$output"
    status=${PIPESTATUS[0]}
    count "$judge" "$output" "$status"
    echo "     $((SECONDS - started)) s"
}

what_is_missing() {
    case $1 in
        node_clients) installed "$target/node" || echo "the Node packages" ;;
        *) installed "$target/venv" || echo "the Python packages" ;;
    esac
    case $1 in
        awscli | certificates) command -v openssl >/dev/null || echo openssl ;;
    esac
}

# setup.sh leaves this mark when everything went well.
installed() { [ -e "$1/installed" ]; }

# count JUDGE OUTPUT STATUS: adds up the cases; a judge that breaks off is a failure of its own.
count() {
    local judge=$1 output=$2 status=$3 failures
    failures=$(grep -c '^FAIL ' "$output")
    passed=$((passed + $(grep -c '^ok   ' "$output")))
    skipped=$((skipped + $(grep -c '^skip ' "$output")))
    if [ "$status" != 0 ] && [ "$failures" = 0 ]; then
        echo "FAIL $judge: ended with status $status, see $target/$judge.log"
        failures=1
    elif [ "$status" = 0 ] && ! grep -q '^ok   ' "$output"; then
        echo "FAIL $judge: judged nothing"
        failures=$((failures + 1))
    fi
    failed=$((failed + failures))
}

main "$@"
