# What the scripts that prepare a part of the tests have in common; read by them, not run.

say() { printf 'setup: %s\n' "$*"; }

# This machine lacks a tool: the step is skipped, with this text as the reason.
lacks() {
  say "$*" >&2
  exit 77
}

need_python() {
  command -v python3 >/dev/null || lacks 'python3 is not on PATH'
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    lacks "$1 need Python 3.11 or newer, this is $(python3 --version)"
  python3 -c 'import venv, ensurepip' 2>/dev/null ||
    lacks 'python3 cannot make environments (on Debian: apt-get install python3-venv)'
}
