#!/bin/sh
# The walk-through: a CA of your own, two devices, one message. Run by `make demo` against the
# local core; with an account's environment it does the same on AWS.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
subscriber=
finish() {
    [ -z "$subscriber" ] || kill "$subscriber" 2>/dev/null || :
    rm -rf "$work"
}
trap finish EXIT INT TERM
cd "$work"
ln -s "$here/bin" bin

step() { printf '\n%s\n' "$*"; }
run() {
    printf '$ %s\n' "$*"
    "$@"
}

step "1. A certificate authority of your own."
run ./bin/create-root

step "2. Register it, with the template that says what AWS IoT makes of a new device."
run ./bin/register

step "3. Two devices, each with a key and a certificate signed by that CA. No network is involved."
run ./bin/provision producer
run ./bin/provision subscriber

step "4. The subscriber connects for the first time. AWS IoT does not know its certificate yet: it
   registers it, closes the connection, makes the thing, and serves the next attempt."
printf '$ ./bin/sub subscriber &\n'
: >subscriber.log
./bin/sub subscriber --count 1 --timeout 60 >received 2>subscriber.log &
subscriber=$!
# The subscriber says so when it listens.
waited=0
until grep -q listening subscriber.log; do
    kill -0 "$subscriber" 2>/dev/null || { cat subscriber.log >&2; exit 1; }
    [ "$waited" -lt 600 ] || { echo "the subscriber did not get in" >&2; exit 1; }
    waited=$((waited + 1))
    sleep 0.1
done
cat subscriber.log

step "5. The producer, new too, goes through the same and then publishes."
run ./bin/pub producer hello world

step "6. What the subscriber received: topic and message."
wait "$subscriber"
subscriber=
cat received
grep -q 'producer.*hello world' received
step "Done: two devices with certificates of your own CA were provisioned on their first connection,
and a message went from one to the other."
