#!/usr/bin/env bash
# Builds the project's images with docker, podman or buildah, whichever works here.
#
#   scripts/images.sh [TARGET…]        cpu gateway triton-cpu mlflow (default), cuda triton-cuda; "all" is all six
#
#   ENGINE=podman        which builder, if several work
#   BASE=IMAGE           a base in place of the Dockerfiles' own (TRITON_BASE=… that of triton-cuda)
#   REGISTRY=NAME        first part of the images' names [danqing]: danqing/cpu:VERSION
#   TAG=TEXT             [the version of danqing/__init__.py]
#   OUT=FOLDER           where the SBOMs go [out/images]
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
if [ -d "${PIP_FIND_LINKS:-}" ]; then # it says which PyTorch
  common+=(--build-context "wheels=$PIP_FIND_LINKS" --build-arg TORCH=)
fi
case $engine in
  docker) build=(docker buildx build --load --quiet) ;;
  podman) build=(podman build --layers --quiet) ;;
  buildah) build=(buildah build --layers --quiet) ;;
  *) echo "images: ENGINE is $engine; it can be docker, podman or buildah" >&2; exit 1 ;;
esac
# In a container of its own a builder needs rights that it often has not; where it is root anyway, chroot is enough.
if [ "$engine" != docker ]; then
  common+=(--network host --isolation "${BUILDAH_ISOLATION:-chroot}" --format oci)
  [ -z "${PULL:-}" ] || common+=("--pull=$PULL")
fi

for target in "${targets[@]}"; do
  stage=$target extra=()
  case $target in
    cpu | cuda) file=components/Dockerfile ;;
    gateway) file=serving/gateway/Dockerfile ;;
    triton-*) file=serving/triton/Dockerfile stage=${target#triton-} ;;
    mlflow) file=mlflow/Dockerfile ;;
    *) echo "images: there is no target $target; there are ${default[*]} cuda triton-cuda" >&2; exit 1 ;;
  esac
  [ "$target" != triton-cuda ] || [ -z "${TRITON_BASE:-}" ] || extra=(--build-arg "TRITON_BASE=$TRITON_BASE")
  name=$registry/$target:$tag began=$SECONDS
  "${build[@]}" "${common[@]}" "${extra[@]}" --target "$stage" --tag "$name" --file "$file" . >"$out/$target.id" ||
    { echo "images: building $target failed, see above" >&2; exit 1; }
  id=$(tail -n 1 "$out/$target.id")
  case $engine in
    docker | podman)
      container=$("$engine" create "$name")
      "$engine" cp "$container:/opt/danqing/sbom.cdx.json" "$out/$target.cdx.json" >/dev/null
      "$engine" rm "$container" >/dev/null
      bytes=$("$engine" image inspect --format '{{.Size}}' "$name") ;;
    buildah)
      container=$(buildah from --pull=never "$name")
      cp "$(buildah mount "$container")/opt/danqing/sbom.cdx.json" "$out/$target.cdx.json"
      buildah rm "$container" >/dev/null
      bytes=$(buildah images --json "$name" | sed -n 's/.*"size": "\(.*\)",/\1/p') ;;
  esac
  [[ ! $bytes =~ ^[0-9]+$ ]] || bytes="$((bytes / 1000000)) MB"
  echo "$name  sha256:${id#sha256:}  $bytes  $((SECONDS - began)) s"
done
