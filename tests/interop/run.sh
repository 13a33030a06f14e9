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

judge_seconds=180
. "$here/../judges.sh"
all=(certificates outputs programs control_plane awscli gate provisioning tls_scan mqtt_clients aws_sdk fleet pipeline pages loadtest node_clients durability)

main() {
    local judges=("$@") judge
    if [ ! -x "$BIN/iot-local" ]; then
        echo "run.sh: no programs in $BIN; remedy: make" >&2
        exit 1
    fi
    [ ${#judges[@]} -gt 0 ] || judges=("${all[@]}")
    for judge in "${judges[@]}"; do
        judge "$judge"
    done
    tell_count
}

judge() {
    local judge=$1 command mark=$target/venv/installed started=$SECONDS
    printf '\n%s\n' "$judge"
    case $judge in
        node_clients)
            command=(node "$here/node_clients.js" "$target/node/node_modules")
            mark=$target/node/installed
            ;;
        outputs) command=("$target/venv/bin/python" "$here/outputs.py" "$target/makers/bin/python") ;;
        awscli) command=("$here/awscli.sh" "$target/venv/bin/aws") ;;
        *) command=("$target/venv/bin/python" "$here/$judge.py") ;;
    esac
    case $judge in
        awscli | certificates)
            if ! command -v openssl >/dev/null; then
                skip_judge "$judge" "not installed: openssl"
                return
            fi
            ;;
    esac
    case $judge in
        certificates | outputs | programs | durability) ;; # these need no core, or start their own
        pipeline | pages)
            local consumer=${CARGO_TARGET_DIR:-$root/target}/debug/process-queue
            if [ ! -x "$consumer" ]; then
                skip_judge "$judge" "not built: cargo build --package jitp-lambda --bin process-queue"
                return
            fi
            export S3_FOLDER=$target/s3 CONSUMER=$consumer
            local given=(--clock-speed 10 --s3 "$S3_FOLDER" --function "consume=$consumer")
            [ "$judge" = pipeline ] || given=()
            command=("$BIN/iot-local" run "${given[@]}" -- "${command[@]}")
            ;;
        *) command=("$BIN/iot-local" run -- "${command[@]}") ;;
    esac
    run_judge "$judge" "$mark" "${command[@]}"
    echo "     $((SECONDS - started)) s"
}

main "$@"
