# What the scripts share that let other people's tools judge us: packages of Python in a folder of their own, judges that
# may not hang, and the count of their cases. To be sourced by a script that has set `target`, the folder of its logs, and
# `judge_seconds`, after which a judge hangs.
# shellcheck shell=bash

passed=0 failed=0 skipped=0

# python_packages VENV REQUIREMENTS LOG: installs what is pinned there; VENV/installed marks that all of it is.
python_packages() {
    cmp -s "$2" "$1/installed" && return
    python3 -m venv --clear "$1" >"$3" 2>&1 &&
        "$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2" >>"$3" 2>&1 &&
        cp "$2" "$1/installed"
}

# skip_judge NAME WHY: what cannot be judged here is named and counted.
skip_judge() {
    echo "skip $1: $2"
    skipped=$((skipped + 1))
}

# run_judge NAME MARK COMMAND...: lets it judge if what it needs is installed, which the file MARK says, and adds up the
# cases it tells on stdout, one a line. What it writes on stderr is in NAME.log. A judge that breaks off, or judges
# nothing, is a failure of its own.
run_judge() {
    local judge=$1 mark=$2 output=$target/$1.out status failures
    shift 2
    if [ ! -e "$mark" ]; then
        skip_judge "$judge" "its packages are not installed"
        return
    fi
    timeout --foreground --kill-after=10 "$judge_seconds" "$@" 2>"$target/$judge.log" | tee "$output"
    status=${PIPESTATUS[0]}
    failures=$(grep -c '^FAIL ' "$output")
    if [ "$status" != 0 ] && [ "$failures" = 0 ]; then
        echo "FAIL $judge: ended with status $status, see $target/$judge.log"
        failures=1
    elif [ "$status" = 0 ] && ! grep -q '^ok ' "$output"; then
        echo "FAIL $judge: judged nothing"
        failures=$((failures + 1))
    fi
    passed=$((passed + $(grep -c '^ok ' "$output")))
    skipped=$((skipped + $(grep -c '^skip ' "$output")))
    failed=$((failed + failures))
}

# tell_count: the last line; its status is that of the script.
tell_count() {
    echo
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
}
