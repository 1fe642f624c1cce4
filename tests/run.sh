#!/usr/bin/env bash
# Runs every test: those of whole processes, which mostly wait, beside the others; their report comes after the others'.
# Usage: tests/run.sh PYTHON [pytest arguments]
set -uo pipefail
cd "$(dirname "$0")/.."
python=$1
shift

report=$(mktemp)
"$python" -m pytest tests/end_to_end "$@" >"$report" 2>&1 &
beside=$!
trap 'kill "$beside" 2>/dev/null; rm -f "$report"' EXIT

"$python" -m pytest --ignore=tests/end_to_end "$@"
first=$?
wait "$beside"
second=$?
cat "$report"

# 5 says that a selection left nothing to run: in one half that is no failure, in both it is.
if [ "$first" -eq 5 ] && [ "$second" -eq 5 ]; then exit 5; fi
for code in "$first" "$second"; do
    if [ "$code" -ne 0 ] && [ "$code" -ne 5 ]; then exit "$code"; fi
done
