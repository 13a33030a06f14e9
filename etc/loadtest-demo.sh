#!/bin/sh
# The load test, from nothing: the policy of its devices, a CA whose devices get it, certificates, a run. Run by
# `make loadtest` against the local core; with an account's environment and AWS_BUCKET it does the same on AWS.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
results=$(pwd)/loadtest-$(date -u +%Y%m%dT%H%M%SZ)
cd "$work"
ln -s "${LOADTEST_PROGRAMS:-$here/bin}" bin
ln -s "$here/etc" etc

step() { printf '\n%s\n' "$*"; }
run() {
    printf '$ %s\n' "$*"
    "$@"
}

publishers=${PUBLISHERS:-100} subscribers=${SUBSCRIBERS:-10}
fleet="--publishers $publishers --subscribers $subscribers"

step "1. The policy of load-test devices, and a CA whose devices get it on their first connection."
run ./bin/deploy loadtest
run ./bin/create-root loadtest
run ./bin/register loadtest --template etc/templates/loadtest.json

step "2. What this asks of an account, beside AWS's quotas."
# shellcheck disable=SC2086 # words on purpose
run ./bin/loadtest plan $fleet || [ $? -eq 9 ]

step "3. A certificate for each device."
# shellcheck disable=SC2086
run ./bin/loadtest setup $fleet --ca loadtest

step "4. The run: publishers once a second, subscribers forward what they hear:
   $publishers * (1 + 2 * $subscribers) = $((publishers * (1 + 2 * subscribers))) messages a second."
# shellcheck disable=SC2086
run ./bin/loadtest run $fleet --duration "${DURATION:-20s}" --out "$results" --assert lost==0
