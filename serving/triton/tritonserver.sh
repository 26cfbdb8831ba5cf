#!/bin/sh
# `tritonserver` in the image of target `cpu`: as NVIDIA's, it needs to be told no folders.
. /opt/tritonserver/paths
export PATH="$python:$PATH" LD_LIBRARY_PATH="$libraries"
exec "$server" --backend-directory="$backends" --cache-directory="$caches" --allow-gpu-metrics=false \
  --backend-config=python,stub-timeout-seconds=60 "$@"
