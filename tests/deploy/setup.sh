#!/usr/bin/env bash
# Installs what the tests of deploy/ need: a Python environment, in a folder that may be deleted at
# any time, and Debian's Prometheus. Quick when nothing has changed since the last time.
#
#   tests/deploy/setup.sh          into target/deploy, or into $TOLLGATE_DEPLOY_DIR
#
# Exit code 77: this machine lacks a tool, and the text says which.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TOLLGATE_DEPLOY_DIR:-$here/../../target/deploy}

. "$here/../need.sh"

need_python 'the tests'

mkdir -p "$cache"
wanted=$(cat "$here/requirements.txt" <(python3 -VV) | cksum)
if [[ -x $cache/venv/bin/python && $(cat "$cache/stamp" 2>/dev/null) == "$wanted" ]]; then
  say "the Python environment stands in $cache/venv"
else
  say "installing the checkers in $cache/venv"
  rm -rf "$cache/venv" "$cache/stamp"
  python3 -m venv "$cache/venv"
  "$cache/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --only-binary :all: -r "$here/requirements.txt"
  printf '%s' "$wanted" >"$cache/stamp"
fi

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
  say "$(prometheus --version 2>&1 | head -n 1)"
  exit 0
fi
command -v apt-get >/dev/null || lacks 'there is neither prometheus nor apt-get to install it'
((EUID == 0)) || lacks 'prometheus is not installed, and apt-get needs root'
say 'installing Prometheus'
{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
  --no-install-recommends prometheus; } >"$cache/apt.log" 2>&1 ||
  lacks "apt-get can't install prometheus: $(tail -n 1 "$cache/apt.log")"
