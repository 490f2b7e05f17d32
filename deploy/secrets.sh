#!/usr/bin/env bash
# Makes the secrets that compose.yaml wants, in deploy/secrets/; those that are there stay. Compose
# mounts the files as they are, and the gateway's user is nobody of this machine: so the files can be
# read by all, and the folder can be entered by its owner only.
set -euo pipefail

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/secrets
mkdir -p "$folder"
chmod 0700 "$folder"
for name in admin_key team_a_key grafana_password; do
  [[ -s $folder/$name ]] && continue
  head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$folder/$name"
  chmod 0644 "$folder/$name"
  echo "made deploy/secrets/$name"
done
