#!/usr/bin/env bash
# Make constraints.txt anew: exact versions of everything, no registry host, no local path, no build tag of torch.
# Versions that still fit stay as they are; `scripts/lock-constraints.sh --upgrade` takes the newest of each.
set -euo pipefail
cd "$(dirname "$0")/.."
raw=$(mktemp)
trap 'rm -f "$raw"' EXIT
cp constraints.txt "$raw"
UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}" .venv/bin/uv pip compile -q "$@" --python-version 3.11 \
  --no-annotate --no-header --extra dev pyproject.toml -o "$raw"
sed -E 's/^(torch(vision)?==[0-9.]+)\+cpu/\1/' "$raw" | grep -Ev '^(-|#)' > constraints.txt
