#!/bin/sh
# Runs inside the image of target `cpu` while that is built: serving/triton/install.py fetches the server and the models'
# environment, as on a laptop. What installs is removed again; see scripts/image-install.sh.
set -eu
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
export UV_CACHE_DIR=/mnt/cache UV_LINK_MODE=copy UV_FIND_LINKS=/mnt/wheels UV_NO_PROGRESS=1
export DANQING_CACHE=/opt/danqing PATH="/tmp/uv/bin:$PATH"
base=/usr/local/bin/python
"$base" -m pip install --quiet --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
  --target /tmp/uv "uv==$UV"

cd /opt/danqing/code
"$base" - > /opt/tritonserver/paths <<'END'
import sys
import sysconfig

from serving.triton import install

found = install.ensure(lambda line: print(line, file=sys.stderr))
print(f"server={found.server} backends={found.backends} caches={found.caches}")
print(f"python={found.python} libraries={sysconfig.get_config_var('LIBDIR')}:{found.libraries}")
END
. /opt/tritonserver/paths

cd /opt/danqing/triton
rm -rf nvidia-pytriton-*/pytriton/tritonserver/python_backend_stubs # this Python's is in `backends`
find . -depth -type d -name tests -exec rm -rf {} +
find . -name '*.a' -delete
"$python/python" -m compileall -q -j 0 . || true # some packages carry templates that are no Python

"$base" -m pip uninstall --quiet --yes --root-user-action=ignore --disable-pip-version-check pip setuptools wheel || true
rm -rf /tmp/uv /tmp/uv-* /usr/share/python-wheels "$("$base" -c 'import os, ensurepip; print(os.path.dirname(ensurepip.__file__))')"
PYTHONPATH="$(echo nvidia-pytriton-*)" "$python/python" /opt/danqing/sbom.py danqing-triton-cpu > /opt/danqing/sbom.cdx.json
find . -name .lock -delete
rm -r /opt/danqing/code /opt/danqing/sbom.py
