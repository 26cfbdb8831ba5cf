#!/bin/sh
# Runs inside an image while that is built, from its Dockerfile: makes the environment /opt/danqing.
#
#   NAME=danqing-cpu sh /opt/danqing/image-install.sh ARGUMENTS-OF-UV-PIP-INSTALL…
#
# What installs is fetched, used and removed in this one layer: uv, and then pip too. Bytecode is compiled because the
# root is read-only where the image runs; tests, headers and static libraries of packages are left out. What is there
# in the end stands in /opt/danqing/sbom.cdx.json. A company's certificates, uv's cache and a folder of wheels are
# mounted, where they are given.
set -eu
home=/opt/danqing python=/opt/danqing/bin/python
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
export UV_CACHE_DIR=/mnt/cache UV_LINK_MODE=copy UV_FIND_LINKS=/mnt/wheels UV_NO_PROGRESS=1

/usr/local/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
  --target /tmp/uv "uv==$UV"
/tmp/uv/bin/uv venv --quiet --allow-existing --python /usr/local/bin/python "$home"
/tmp/uv/bin/uv pip install --quiet --python "$python" -c "$home/constraints.txt" "$@"
rm -rf /tmp/uv /tmp/uv-* "$home/.lock"

cd "$home"/lib/python3.*/site-packages
rm -rf torch/include pyarrow/include
find . -depth -type d -name tests -exec rm -rf {} +
find . -name '*.a' -delete
"$python" -m compileall -q -j 0 . || true # some packages carry templates that are no Python

# Ours lies beside it, in a layer of its own.
echo /app > danqing.pth
printf '#!%s\nfrom danqing.cli import app\n\napp()\n' "$python" > "$home/bin/danqing"
chmod 755 "$home/bin/danqing"

/usr/local/bin/python -m pip uninstall --quiet --yes --root-user-action=ignore --disable-pip-version-check pip setuptools wheel || true
rm -rf /usr/share/python-wheels "$(/usr/local/bin/python -c 'import os, ensurepip; print(os.path.dirname(ensurepip.__file__))')"
"$python" "$home/sbom.py" "$NAME" > "$home/sbom.cdx.json"
rm "$home/sbom.py" "$home/image-install.sh"
