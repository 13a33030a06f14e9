#!/bin/sh
# A fleet from nothing to nothing: environment, three devices provisioned by claim, a fourth refused, all taken down.
# Run by `make fleet-demo` against the local core; FLEET_HOOK names the packed hook, with an allow list of 1, 2 and 3.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
hook=$(realpath "${FLEET_HOOK:-$here/target/fleet-demo/pre-provision.zip}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cd "$work"
ln -s "${FLEET_PROGRAMS:-$here/bin}" bin
ln -s "$hook" hook.zip

step() { printf '\n%s\n' "$*"; }
run() {
    printf '$ %s\n' "$*"
    "$@"
}

step "1. The environment: role, policies, thing group and type, the hook with its permission, template, claim."
run ./bin/environment apply fleet --hook hook.zip

step "2. Again: nothing is to be done."
run ./bin/environment plan fleet --hook hook.zip

step "3. Three devices that are on the hook's list exchange the claim for an identity, and publish with it."
for license in 1 2 3; do
    run ./bin/fleet-provision "iot-$license" --template fleet --parameter "License=$license"
    run ./bin/pub "iot-$license" --topic "iot-$license/telemetry" hello
done

step "4. A fourth has the same claim, and is not on the list."
code=0
run ./bin/fleet-provision iot-4 --template fleet --parameter License=4 || code=$?
[ "$code" -eq 8 ] || { echo "expected to be refused with exit code 8, not $code" >&2; exit 1; }
[ ! -e iot-4.key ] || { echo "a refused device has no key" >&2; exit 1; }
echo "refused (exit code 8), and nothing of it is on the disk"

step "5. Everything is taken down: what the devices made, then what they were made with."
run ./bin/environment destroy fleet --yes

step "6. Nothing is left."
run ./bin/environment destroy fleet --dry-run >left
run ./bin/template list >>left
run ./bin/thing-certificates >>left
grep -v '^\$' left && { echo "something is left" >&2; exit 1; }
echo "no role, function, template, policy, group, type, thing"
step "Done: three devices were provisioned by claim, a fourth was refused, and the account is as it was."
