#!/usr/bin/env bash
# Runs a script of this folder in the node that its VS Code runs in: run.sh [scenarios|latency|pictures]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
status=0
"$here/install.sh" || status=$?
[[ $status == 77 ]] && exit 0
[[ $status == 0 ]] || exit "$status"
node=$here/../../../build/editors/node/bin/node
case ${1:-scenarios} in
    scenarios) exec "$node" --test --test-concurrency=1 --test-reporter=spec "$here"/*.test.ts ;;
    *) exec "$node" "$here/$1.ts" "${@:2}" ;;
esac
