#!/usr/bin/env bash
# Prepares what the tests of the console need: a Chromium on this machine, and the library that
# drives it, in a folder that may be deleted at any time.
#
#   tests/console/setup.sh            into target/console, or into $TOLLGATE_CONSOLE_DIR
#
# The last line of its output is the browser. TOLLGATE_CHROMIUM names another one.
# Exit code 77: this machine lacks a tool, and the text says which.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${TOLLGATE_CONSOLE_DIR:-$root/target/console}

. "$here/../need.sh"

command -v node >/dev/null || lacks 'node is not on PATH'
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
  lacks "the modules of the console need Node 20.19 or newer, this is $(node --version)"
command -v npm >/dev/null || lacks 'npm is not on PATH'

find_browser() {
  local name
  for name in ${TOLLGATE_CHROMIUM:-chromium chromium-browser google-chrome google-chrome-stable}; do
    command -v "$name" && return
  done
  return 1
}

if ! browser=$(find_browser); then
  if [[ -n ${TOLLGATE_CHROMIUM:-} || $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    lacks 'no Chromium is on PATH (on Debian: apt-get install chromium)'
  fi
  say 'installing Chromium'
  { apt-get update && apt-get install -y --no-install-recommends chromium; } >"$cache.apt.log" 2>&1 ||
    lacks "Chromium can't be installed: $(tail -n 1 "$cache.apt.log")"
  browser=$(find_browser) || lacks 'the package chromium brought no Chromium'
fi

mkdir -p "$cache/node"
wanted=$(cat "$here/package-lock.json" <(node --version) | cksum)
if [[ -d $cache/node/node_modules/playwright-core && $(cat "$cache/node.stamp" 2>/dev/null) == "$wanted" ]]; then
  say "the library stands in $cache/node"
else
  say "installing the library in $cache/node"
  rm -f "$cache/node.stamp"
  cp "$here/package.json" "$here/package-lock.json" "$cache/node/"
  npm ci --prefix "$cache/node" --silent --ignore-scripts --no-audit --no-fund >"$cache/npm.log" 2>&1 ||
    lacks "playwright-core can't be installed: $(tail -n 1 "$cache/npm.log")"
  printf '%s' "$wanted" >"$cache/node.stamp"
fi
printf '%s\n' "$browser"
