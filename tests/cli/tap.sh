# shellcheck shell=bash disable=SC2034
# TAP for shell tests: is, ok, done_testing; a scratch folder that goes when the test ends; the
# binary as $larder, in an environment of its own.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
larder=${LARDER:-$root/build/larder}
scratch=$(mktemp -d)
tests=0
failed=0
pids=()

finish() {
    for pid in "${pids[@]}"; do
        kill -KILL "$pid" 2>/dev/null
    done
    rm -rf "$scratch"
}
trap finish EXIT

ok() { # ok NAME COMMAND...
    local name=$1
    shift
    tests=$((tests + 1))
    if "$@"; then
        echo "ok $tests - $name"
    else
        failed=$((failed + 1))
        echo "not ok $tests - $name"
    fi
}

is() { # is NAME GOT WANT
    tests=$((tests + 1))
    if [ "$2" == "$3" ]; then
        echo "ok $tests - $1"
    else
        failed=$((failed + 1))
        echo "not ok $tests - $1"
        printf 'got:\n%s\nwant:\n%s\n' "$2" "$3" | sed 's/^/# /'
    fi
}

done_testing() {
    echo "1..$tests"
    [ "$failed" == 0 ]
}

run() { # run WORD...: the binary with an empty environment; $out, $err, $code
    out=$(env -i HOME="$scratch/home" ${TEST_HITS_FILE:+"TEST_HITS_FILE=$TEST_HITS_FILE"} "$larder" "$@" 2>"$scratch/err")
    code=$?
    err=$(cat "$scratch/err")
}

# start NAME WORD...: a node on $scratch/NAME in the background, its log in $scratch/NAME.log; $pid.
start() {
    local name=$1
    shift
    rm -f "$scratch/$name.log" # the one of an earlier start may say "ready" already
    env -i HOME="$scratch/home" ${TEST_HITS_FILE:+"TEST_HITS_FILE=$TEST_HITS_FILE"} "$larder" start --data-dir="$scratch/$name" \
        --http-addr=127.0.0.1:0 "$@" 2>"$scratch/$name.log" &
    pid=$!
    pids+=("$pid")
}

within() { # within COMMAND...: true as soon as the command is, for 120 s
    local end=$((SECONDS + 120))
    while ! "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

wait_for() { # wait_for FILE PATTERN
    within grep -qs -- "$2" "$1"
}

ended() { # ended PID: its exit code in $code
    wait "$1"
    code=$?
}
