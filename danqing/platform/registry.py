"""The model registry: which package is champion, how a challenger becomes it, and the way back.

Two steps of the line, `gate` (may the new model become champion?) and `register` (put it into the registry), and what
a model owner does by hand: `promote`, `rollback`, `download`. MLflow aliases carry the roles: `champion` is served,
`challenger` is the newest, `previous` is what was champion before.
"""

from __future__ import annotations

import math
import os
import shutil
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from danqing import config as settings
from danqing import files, package
from danqing.errors import RegistryError
from danqing.monitor import Monitor
from danqing.platform import tracking, versions
from danqing.platform.versions import CHALLENGER, CHAMPION, METRIC, PREVIOUS, Version

PACKAGE_TAG = "package_sha256"
FOLDER = "package"
HELD_OUT = "held_out"
"""Name in metrics.json of the fingerprint of the pictures that were measured on, where the evaluation gives one."""


def gate(
    evaluation: Path,
    *,
    out: Path,
    config: settings.Gate,
    monitor: Monitor,
    scratch: Path,
    tracking_uri: str | None = None,
    model_name: str = settings.Register().name,
) -> dict[str, Any]:
    """Step: may the model behind `evaluation` become champion? Writes decision.json and decision.md into `out`."""
    measured = files.read_json(evaluation / "metrics.json")
    current = champion(tracking_uri, model_name)
    promote, reasons = decide(measured, current, config)
    decision = {"promote": promote, "reasons": reasons, "champion": current.number if current else None}
    files.write_json(out / "decision.json", decision)
    verdict = "becomes champion" if promote else "stays challenger"
    files.write_text(out / "decision.md", f"**The model {verdict}.**\n\n" + "".join(f"- {r}\n" for r in reasons))
    monitor.progress(1, 1, verdict)
    return {"promote": promote, "champion": current.number if current else 0}


def decide(measured: Mapping[str, Any], current: Version | None, config: settings.Gate) -> tuple[bool, list[str]]:
    """Whether to promote, and one line a bar. A value that is missing or not finite passes no bar."""
    reasons: list[str] = []
    passed = True

    def bar(name: str, limit: float, lower_is_better: bool, note: str) -> None:
        nonlocal passed
        value = finite(measured.get(name))
        ok = value is not None and (value <= limit if lower_is_better else value >= limit)
        passed = passed and ok
        sign = "≤" if lower_is_better else "≥"
        shown = "missing or not a number" if value is None else f"{value:.4g}"
        asked = f"{sign} {limit:.4g}" if math.isfinite(limit) else "a finite value" if limit > 0 else "a comparison"
        reasons.append(f"{'passed' if ok else 'FAILED'}: {name} is {shown}, asked for {asked} ({note})")

    bar("match_p", config.max_p, True, "matched against shuffled prompts")
    bar("psnr", config.min_psnr, False, "reconstruction, dB")
    if current is None:
        bar("kernel_distance", math.inf, True, "no champion to compare with")
    elif measured.get(HELD_OUT) and current.tags.get(HELD_OUT) not in (None, measured[HELD_OUT]):
        bar("kernel_distance", -math.inf, True, f"champion {current.number} was measured on other pictures: "
            "promote by hand")  # fmt: skip
    else:
        theirs = finite(current.metrics.get("kernel_distance"))
        limit = -math.inf if theirs is None else theirs + config.kernel_slack * abs(theirs)
        has = "has none: promote by hand" if theirs is None else f"has {theirs:.4g}"
        bar("kernel_distance", limit, True, f"champion {current.number} {has}")
    return passed, reasons


def finite(value: Any) -> float | None:
    """`value` as a float if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def register(
    package: Path,
    evaluation: Path,
    decision: Path,
    *,
    out: Path,
    config: settings.Register,
    monitor: Monitor,
    scratch: Path,
    tracking_uri: str | None = None,
    lineage: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Step: the package becomes a model version, `challenger`, and `champion` if the gate said so.

    The same package is one version, however often the step runs. lineage: tags from `versioning.lineage`.
    Writes registered.json into `out`: name, version, champion (version number), promoted.
    """
    uri = tracking_uri or tracking.default_uri()
    digest = files.fingerprint(package)
    promote_it = bool(files.read_json(decision / "decision.json")["promote"])
    version = next((v for v in versions.read(uri, config.name).values() if v.tags.get(PACKAGE_TAG) == digest), None)
    if version is None:
        measured = files.read_json(evaluation / "metrics.json")
        tags = {PACKAGE_TAG: digest, **(lineage or {}), **_measured_tags(measured), **_onnx_tag(package)}
        number = _add(uri, config.name, package, tags, run=(lineage or {}).get("kfp_run_id", f"package-{digest[:12]}"))
    else:
        number = version.number
    monitor.progress(1, 1, f"version {number}")
    if version is None or CHALLENGER not in version.aliases:
        with tracking.reaching(uri):
            tracking.client(uri).set_registered_model_alias(config.name, CHALLENGER, str(number))
    if promote_it:
        promote(number, tracking_uri=uri, name=config.name)
    current = champion(uri, config.name)
    result = {
        "name": config.name,
        "version": number,
        "promoted": promote_it,
        "champion": current.number if current else 0,
    }
    files.write_json(out / "registered.json", result)
    return {k: v for k, v in result.items() if k != "name"}


def _measured_tags(measured: Mapping[str, Any]) -> dict[str, str]:
    tags = {METRIC + name: repr(float(value)) for name, value in tracking.numbers(measured).items()}
    if measured.get(HELD_OUT):
        tags[HELD_OUT] = str(measured[HELD_OUT])
    return tags


def _onnx_tag(folder: Path) -> dict[str, str]:
    graph = folder / package.GRAPH
    return {"onnx_sha256": files.sha256(graph)} if graph.is_file() else {}


def _add(uri: str, name: str, folder: Path, tags: Mapping[str, str], run: str) -> int:
    """Log the package and make a version of it. The files come first: a version without files cannot come about."""
    from mlflow.exceptions import MlflowException

    tracker = tracking.Tracker(uri, run)
    step = tracker.step("register")
    with tracking.reaching(uri):
        client = tracker.client
        client.log_artifacts(step.run_id, str(folder), FOLDER)
        source = f"{client.get_run(step.run_id).info.artifact_uri}/{FOLDER}"
        try:
            client.create_registered_model(name, description="Sentences to traditional Chinese paintings.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = client.create_model_version(name, source, run_id=step.run_id, tags=dict(tags))
        if "kfp_run_id" not in tags:  # nobody else will end the run
            step.finish()
            tracker.parent().finish()
        return int(made.version)


def champion(tracking_uri: str | None = None, name: str = settings.Register().name) -> Version | None:
    """The version that is served; None before the first promotion."""
    return versions.by_alias(tracking_uri or tracking.default_uri(), name, CHAMPION)


def previous(tracking_uri: str | None = None, name: str = settings.Register().name) -> Version | None:
    """The version that was champion before; None before the second promotion."""
    return versions.by_alias(tracking_uri or tracking.default_uri(), name, PREVIOUS)


def promote(which: int | str, *, tracking_uri: str | None = None, name: str = settings.Register().name) -> Version:
    """Make a version (its number or an alias) champion; the old champion becomes `previous`."""
    uri = tracking_uri or tracking.default_uri()
    new, old = versions.find(uri, name, which), champion(uri, name)
    if old is None or old.number != new.number:
        with tracking.reaching(uri):
            client = tracking.client(uri)
            if old is not None:  # first, so that a stop in between loses nothing
                client.set_registered_model_alias(name, PREVIOUS, str(old.number))
            client.set_registered_model_alias(name, CHAMPION, str(new.number))
    if tracking.sqlite_file(uri) is not None:  # a server's champion is fetched by whoever paints, not by whoever votes
        point(uri, name)
    return versions.find(uri, name, new.number)


def rollback(*, tracking_uri: str | None = None, name: str = settings.Register().name) -> Version:
    """Bring the previous champion back. The two change places, so that a second rollback undoes the first."""
    uri = tracking_uri or tracking.default_uri()
    before = previous(uri, name)
    if before is None:
        raise RegistryError(
            f"{uri}: model {name!r} has no previous champion; `danqing promote VERSION` sets a champion"
        )
    return promote(before.number, tracking_uri=uri, name=name)


def point(
    tracking_uri: str | None = None, name: str = settings.Register().name, root: Path | None = None
) -> Version | None:
    """Bring the pointer to the champion in the workspace `root` up to date.

    root: None means where a SQLite registry lies, else here. `danqing paint` reads the pointer and never the registry;
    the alias may have been moved in MLflow's own pages, so whoever needs the truth calls this first. A package that is
    far away is fetched once.
    """
    uri = tracking_uri or tracking.default_uri()
    file, current = tracking.sqlite_file(uri), champion(uri, name)
    if current is not None:
        root = root or (package.workspace() if file is None else file.parent)
        folder = _local(current) or download(current.number, tracking_uri=uri, name=name, cache=root / "models")
        package.point_to_champion(folder, str(current.number), root)
    return current


def _place(version: Version) -> Path | None:
    """The folder that a version's source names, there or not; None where the source is no folder."""
    parts = urllib.parse.urlsplit(version.source)
    return Path(urllib.parse.unquote(parts.path)) if parts.scheme in ("", "file") and parts.path else None


def _local(version: Version) -> Path | None:
    """The folder behind a version's source if it is on this machine."""
    folder = _place(version)
    return folder if folder is not None and folder.is_dir() else None


def download(
    which: int | str = CHAMPION,
    *,
    tracking_uri: str | None = None,
    name: str = settings.Register().name,
    cache: Path | None = None,
) -> Path:
    """The package folder of a version (number or alias), checked against its hashes; fetched once if it is far away.

    cache: where fetched packages are kept; `models` in the workspace if None.
    """
    uri = tracking_uri or tracking.default_uri()
    version = versions.find(uri, name, which)
    folder = _local(version)
    if folder is None:
        folder = (cache or package.workspace() / "models") / name / str(version.number)
        if not (folder / package.MANIFEST).is_file():
            with files.atomic_folder(folder) as temporary:
                fetch(version, temporary, tracking_uri=uri)
    package.Package.read(folder)
    return folder


def fetch(version: Version, into: Path, *, tracking_uri: str | None = None) -> None:
    """Put the files of `version` into the folder `into`, unchecked. RegistryError: it has none, or they do not come."""
    uri = tracking_uri or tracking.default_uri()
    folder = _place(version)
    if folder is not None:
        if not (folder / package.MANIFEST).is_file():
            raise RegistryError(f"{folder}: version {version.number} has no package there; register it again")
        with files.storage(into):
            for item in sorted(folder.rglob("*")):
                if item.is_dir():
                    (into / item.relative_to(folder)).mkdir()
                else:
                    shutil.copyfile(item, into / item.relative_to(folder))
        return
    with tracking.reaching(uri):
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        got = Path(tracking.client(uri).download_artifacts(version.run_id, FOLDER, str(into)))
    if not got.is_dir() or not any(got.iterdir()):
        raise RegistryError(f"{uri}: version {version.number} has no files; register it again")
    for item in got.iterdir():
        item.rename(into / item.name)
    got.rmdir()
