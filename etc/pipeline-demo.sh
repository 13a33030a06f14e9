#!/bin/sh
# A message from a device to a function: topic rule, queue, function; then the function is paused, the backlog grows, and
# shrinks again. Run by `make pipeline-demo` against the local core; with an account's environment and AWS_BUCKET it does the
# same on AWS. PIPELINE_FUNCTION names the packed function.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
function=$(realpath "${PIPELINE_FUNCTION:-$here/target/lambda/process-queue.zip}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cd "$work"
ln -s "${PIPELINE_PROGRAMS:-$here/bin}" bin
mkdir -p etc target/lambda
cp -R "$here/etc/cloudformation" etc/
ln -s "$function" target/lambda/process-queue.zip
# A device may publish on the topic of its own name (policies/IoTAccess.json).
AWS_TOPIC=pump
export AWS_TOPIC

step() { printf '\n%s\n' "$*"; }
run() {
    printf '$ %s\n' "$*"
    "$@"
}
# messages FIRST LAST: one a line.
messages() {
    number=$1
    while [ "$number" -le "$2" ]; do
        printf '{"pressure":%s}\n' "$number"
        number=$((number + 1))
    done
}
# status COLUMN: 2 are the messages that wait, 3 those in flight.
status() { ./bin/queue status | cut -f "$1"; }
# until_empty: waits until no message waits and none is in flight.
until_empty() {
    waited=0
    while [ "$(status 2)" != 0 ] || [ "$(status 3)" != 0 ]; do
        [ "$waited" -lt 120 ] || { echo "the queue does not get empty" >&2; exit 1; }
        waited=$((waited + 1))
        sleep 0.5
    done
}

step "1. The pipeline, from the template that CloudFormation is given: queues, roles, rule, function, mapping."
run ./bin/deploy --quiet sqs

step "2. A CA of your own, and a device that it signed."
run ./bin/create-root
run ./bin/register
run ./bin/provision pump --connect

step "3. The device publishes. The rule puts the messages into the queue, and the function takes them out."
echo "\$ ./bin/pub pump --stdin     # 20 messages"
messages 1 20 | ./bin/pub pump --stdin
until_empty
echo "\$ ./bin/queue status         # queue, waiting, in flight, delayed, dead letters, mapping, age of the oldest"
./bin/queue status

step "4. The function is paused, and the device goes on: the backlog grows."
run ./bin/queue pause
echo "\$ ./bin/pub pump --stdin     # 30 messages"
messages 21 50 | ./bin/pub pump --stdin
waited=0
until [ "$(status 2)" -ge 30 ]; do
    [ "$waited" -lt 120 ] || { echo "expected 30 messages, not $(status 2)" >&2; exit 1; }
    waited=$((waited + 1))
    sleep 0.5
done
run ./bin/queue status

step "5. A look at one of them, which stays where it is."
run ./bin/queue drain --keep --count 1

step "6. The function goes on: the backlog is gone, and nothing was lost on the way: there are no dead letters."
run ./bin/queue resume
until_empty
run ./bin/queue status
[ "$(status 5)" = 0 ] || { echo "there are dead letters" >&2; exit 1; }

step "7. The pipeline is taken down."
run ./bin/deploy --quiet sqs --delete --yes
step "Done: 50 messages went from a device through rule and queue to a function, 30 of them after a pause."
