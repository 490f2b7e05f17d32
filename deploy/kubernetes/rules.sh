#!/usr/bin/env bash
# Writes prometheusrule.yaml, for the Prometheus operator, of the rules in deploy/prometheus/rules/.
# A test holds the two against each other.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
{
  cat <<'HEAD'
# Written by rules.sh from deploy/prometheus/rules/: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tollgate
  namespace: tollgate
spec:
  groups:
HEAD
  for file in "$here"/../prometheus/rules/*.yml; do
    sed -n '/^groups:/,$ { /^groups:/d; s/^./  &/; p }' "$file"
  done
} >"$here/prometheusrule.yaml"
