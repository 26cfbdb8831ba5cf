#!/usr/bin/env bash
# Builds the project's images with docker, podman or buildah, whichever works here.
#
#   scripts/images.sh [TARGET…]        cpu gateway triton-cpu mlflow (default), cuda triton-cuda; "all" is all six
#
#   ENGINE=podman        which builder, if several work
#   BASE=IMAGE           a base in place of the Dockerfiles' own (TRITON_BASE=… that of triton-cuda)
#   REGISTRY=NAME        first part of the images' names [danqing]: danqing/cpu:VERSION
#   TAG=TEXT             [the version of danqing/__init__.py]
#   OUT=FOLDER           where the SBOMs and the builders' own lines go [out/images]
#   JOBS=2               images that are built at the same time
#   PULL=never           do not look for the base in a registry
#   BUILD_CA=FILE        certificates of a proxy [$SSL_CERT_FILE]; not kept in the images
#   PIP_FIND_LINKS, UV_CACHE_DIR   a folder of wheels, e.g. a CPU build of PyTorch, and uv's cache: used where they are
#
# Prints a line an image: its name, its id, its size.
set -euo pipefail
cd "$(dirname "$0")/.."

default=(cpu gateway triton-cpu mlflow)
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${default[@]}")
[ "${targets[*]}" != all ] || targets=("${default[@]}" cuda triton-cuda)

for target in "${targets[@]}"; do
  case $target in
    cpu | cuda | gateway | triton-cpu | triton-cuda | mlflow) ;;
    *) echo "images: there is no target $target; there are ${default[*]} cuda triton-cuda" >&2; exit 1 ;;
  esac
done

works() { # an engine that is installed but has no daemon, or no storage, is none
  command -v "$1" >/dev/null && "$1" info >/dev/null 2>&1
}
engine=${ENGINE:-}
if [ -z "$engine" ]; then
  for engine in docker podman buildah none; do ! works "$engine" || break; done
fi
[ "$engine" != none ] || { echo "images: neither docker nor podman nor buildah works here; install one" >&2; exit 1; }

version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' danqing/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || revision+=-dirty
source=$(git remote get-url origin 2>/dev/null | sed -E 's#//[^/@]*@#//#' || true) # without a password
registry=${REGISTRY:-danqing} tag=${TAG:-$version} out=${OUT:-out/images}
mkdir -p "$out"

common=(--build-arg "REVISION=$revision" --build-arg "VERSION=$version" --build-arg "SOURCE=${source:-unknown}")
[ -z "${BASE:-}" ] || common+=(--build-arg "BASE=$BASE")
ca=${BUILD_CA:-${SSL_CERT_FILE:-}}
[ ! -f "$ca" ] || common+=(--secret "id=ca,src=$ca")
cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/uv}
mkdir -p "$cache"
common+=(--build-context "uv-cache=$cache")
wheels=${PIP_FIND_LINKS:-}
if [ -d "$wheels" ]; then
  common+=(--build-arg TORCH=) # the folder says which PyTorch
else
  wheels=$out/no-wheels && mkdir -p "$wheels"
fi
common+=(--build-context "wheels=$wheels")
case $engine in
  docker) build=(docker buildx build --load) ;;
  podman) build=(podman build --layers) ;;
  buildah) build=(buildah build --layers) ;;
  *) echo "images: ENGINE is $engine; it can be docker, podman or buildah" >&2; exit 1 ;;
esac
# In a container of its own a builder needs rights that it often has not; where it is root anyway, chroot is enough.
if [ "$engine" != docker ]; then
  common+=(--network host --isolation "${BUILDAH_ISOLATION:-chroot}" --format oci)
  [ -z "${PULL:-}" ] || common+=("--pull=$PULL")
fi

build_one() { # TARGET
  local target=$1 stage=$1 file extra=() name began=$SECONDS id container bytes
  case $target in
    cpu | cuda) file=components/Dockerfile ;;
    gateway) file=serving/gateway/Dockerfile ;;
    triton-cpu | triton-cuda) file=serving/triton/Dockerfile stage=${target#triton-} ;;
    mlflow) file=mlflow/Dockerfile ;;
  esac
  [ "$target" != triton-cuda ] || [ -z "${TRITON_BASE:-}" ] || extra=(--build-arg "TRITON_BASE=$TRITON_BASE")
  name=$registry/$target:$tag
  "${build[@]}" "${common[@]}" "${extra[@]}" --target "$stage" --tag "$name" --file "$file" . \
    >"$out/$target.log" 2>&1 || { tail -n 30 "$out/$target.log" >&2; echo "images: building $target failed" >&2; return 1; }
  case $engine in
    docker | podman)
      id=$("$engine" image inspect --format '{{.Id}}' "$name")
      bytes=$("$engine" image inspect --format '{{.Size}}' "$name")
      container=$("$engine" create "$name")
      "$engine" cp "$container:/opt/danqing/sbom.cdx.json" "$out/$target.cdx.json" >/dev/null
      "$engine" rm "$container" >/dev/null ;;
    buildah)
      id=$(buildah inspect --type image --format '{{.FromImageID}}' "$name")
      bytes=$(buildah images --json "$name" | sed -n 's/.*"size": "\(.*\)",/\1/p')
      container=$(buildah from --pull=never "$name")
      cp "$(buildah mount "$container")/opt/danqing/sbom.cdx.json" "$out/$target.cdx.json"
      buildah rm "$container" >/dev/null ;;
  esac
  [[ ! $bytes =~ ^[0-9]+$ ]] || bytes="$((bytes / 1000000)) MB"
  echo "$name  sha256:${id#sha256:}  $bytes  $((SECONDS - began)) s"
}

# Two at a time: writing a layer keeps one core busy.
failed=0
for target in "${targets[@]}"; do
  [ "$(jobs -rp | wc -l)" -lt "${JOBS:-2}" ] || wait -n || failed=1
  build_one "$target" &
done
while [ -n "$(jobs -p)" ]; do wait -n || failed=1; done
exit "$failed"
