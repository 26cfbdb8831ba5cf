"""Which code, which data and which configuration a result came from: the lineage that every model version carries.

Neither git's nor DVC's Python packages are imported: one `git` call and DVC's own small YAML files tell all.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

from danqing import config, values

UNKNOWN = "unknown"


def git_sha(folder: Path | None = None) -> str:
    """The commit that the code stands at, with `-dirty` where files differ from it; `unknown` outside git.

    An image has no `.git`: there $DANQING_GIT_SHA, baked in when the image is built, is the answer.
    """
    baked = os.environ.get("DANQING_GIT_SHA", "")
    if baked:
        return baked
    folder = folder or Path(__file__).resolve().parents[2]
    sha = _git(folder, "rev-parse", "HEAD")
    if not sha:
        return UNKNOWN
    return sha + ("-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def dvc_revision(path: Path) -> str:
    """The MD5 by which DVC knows the folder `path`: from `<path>.dvc` or from the `dvc.lock` above it; else ``.

    DVC names a folder `<md5>.dir`. Only what is recorded counts: a folder that was never tracked has no revision.
    """
    import yaml

    path = Path(path).resolve()
    pointer = path.with_name(path.name + ".dvc")
    if pointer.is_file() and (found := revision_in(pointer.read_text(encoding="utf-8"))):
        return found
    for parent in path.parents:
        lock = parent / "dvc.lock"
        if not lock.is_file():
            continue
        stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages") or {}
        for stage in stages.values():
            for out in stage.get("outs") or []:
                if (parent / out["path"]).resolve() == path and out.get("md5"):
                    return str(out["md5"])
        break
    return ""


def revision_in(text: str, out: str = "") -> str:
    """The revision that DVC's pointer `text` holds: a .dvc file, or a dvc.lock and the path `out` in it; else ``."""
    import yaml

    try:
        found = yaml.safe_load(text)
        stages = found.get("stages", {}).values() if out else [found]
        outs = [one for stage in stages for one in stage.get("outs") or []]
        return next((str(one["md5"]) for one in outs if one.get("md5") and out in ("", one["path"])), "")
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        return ""


def config_hash(line: config.Line) -> str:
    """Equal for equal configurations, whatever file or overrides they came from: 16 hexadecimal digits."""
    text = json.dumps(values.as_dict(line), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def image_digest() -> str:
    """The digest of the image this runs in, from $DANQING_IMAGE (`name@sha256:…`); `` outside a container."""
    image = os.environ.get("DANQING_IMAGE", "")
    return image.partition("@")[2] or image


def lineage(line: config.Line, data: Path | None = None, data_revision: str = "") -> dict[str, str]:
    """The tags that tie a model version to its origin; what is not known is left out.

    data: a corpus folder that DVC may track. data_revision: given by who started the run, used before DVC's files.
    """
    revision = data_revision or (dvc_revision(data) if data is not None else "")
    tags = {
        "git_sha": git_sha(),
        "dvc_revision": revision,
        "kfp_run_id": os.environ.get("KFP_RUN_ID", ""),
        "config_hash": config_hash(line),
        "image_digest": image_digest(),
    }
    return {name: value for name, value in tags.items() if value}
