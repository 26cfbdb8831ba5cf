"""What every KFP component does around its step, so that the components themselves are a few lines.

Configuration from the pipeline's parameters, a monitor for wherever it runs, the step by `danqing.steps.run`, its
metrics and reports as artifacts. Two places to run: below `danqing run`, which follows a file of events
($DANQING_EVENTS) and speaks to MLflow itself; and on a cluster, where $MLFLOW_TRACKING_URI names the server and the
component logs there. Nothing here imports kfp: artifacts come as objects with `path` and `log_metric`.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
import html
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from danqing import config, files, launch, presets, steps, values
from danqing.errors import DanqingError, RegistryError
from danqing.monitor import Events, Monitor, Several, Terminal
from danqing.platform import tracking, trainjob, versioning

_SEEDED = ("ingest", "screen", "annotate", "tokenizer", "clip", "painter", "evaluate")
_STARTED_FROM = ("tokenizer", "painter")
# What a person reads about a step, by the names that the steps give their files; the first that exists is shown.
_PAGES, _NOTES = ("report.html",), ("report.md", "card.md", "decision.md")
_PICTURES = ("reconstructions.png", "samples.png")


def line_of(
    profile: str, overrides: str | Mapping[str, Any] = "", source: str = "", seed: int = -1, init: str = ""
) -> config.Line:
    """The configuration behind the pipeline's parameters.

    source, init: "" leaves the profile's value. seed: -1 leaves the profile's values, else it is the seed of every
    step. They win over `overrides`. Raises ConfigError.
    """
    line = presets.resolve(profile, overrides)
    values: dict[str, Any] = {}
    if source:
        values["ingest.source"] = source
    if seed >= 0:
        values.update({f"{section}.seed": seed for section in _SEEDED})
    if init:
        values.update({f"{section}.init": init for section in _STARTED_FROM})
    return presets.override(line, values)  # fmt: skip


def run_component(
    name: str,
    *,
    inputs: Mapping[str, Any],
    out: Any,
    profile: str,
    overrides: str,
    metrics: Any = None,
    page: Any = None,
    note: Any = None,
    source: str = "",
    seed: int = -1,
    init: str = "",
    data_revision: str = "",
    label: str = "",
    rerun: str = "",
) -> None:
    """Run step `name` as a KFP component does.

    inputs: argument → KFP artifact. out: the artifact whose path becomes the step's folder. metrics, page, note: KFP
    Metrics, HTML and Markdown artifacts to fill. label: tells apart what one run does several times. rerun: a new word
    runs what is remembered anew. Ends the process with the error's exit code on a `DanqingError`.
    """
    step = steps.STEPS[name]
    folder = Path(out.path)

    def work(watch: Watch) -> steps.Outcome:
        line = line_of(profile, overrides, source, seed, init)
        section = getattr(line, step.section)
        watch.start(values.as_dict(section), versioning.lineage(line, data_revision=data_revision))
        read = {argument: Path(artifact.path) for argument, artifact in inputs.items()}
        if step.parallel and (pods := trainjob.place()) is not None:
            return trainjob.run(name, section, read, folder, where=pods, monitor=watch.monitor, rerun=rerun)
        processes = int(os.environ.get("DANQING_PROCESSES", "0")) or launch.gpus()
        if step.parallel and processes > 1:
            return launch.run(name, section, read, folder, processes=processes, monitor=watch.monitor, rerun=rerun)
        extra = _registry_arguments(name, line, data_revision)
        return steps.run(name, section, read, folder, monitor=watch.monitor, extra=extra, rerun=rerun)

    run_watched(f"{name} {label}".strip(), work, folder, metrics=metrics, page=page, note=note)


def run_watched(
    name: str, work: Callable[[Watch], steps.Outcome], folder: Path, *, metrics: Any, page: Any, note: Any
) -> None:
    """Do `work`, which fills `folder`, and tell whoever watches; see `run_component`."""
    _die_with_parent()
    watch = _watch(name)
    try:
        outcome = work(watch)
    except DanqingError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)  # first: the tracking server may be the error
        watch.failed(str(error), error.exit_code, folder)
        raise SystemExit(error.exit_code) from None
    except BaseException as error:
        traceback.print_exc()
        watch.failed(f"{type(error).__name__}: {error}", 1, folder)
        raise
    finally:
        _show(folder, name, page, note)
    if metrics is not None:
        for key, value in tracking.numbers(outcome.metrics).items():
            metrics.log_metric(key, value)
    watch.done(outcome, folder)


def run_plan(*, preset: str, variants: str, seeds: str, overrides: str, source: str) -> Any:
    """The first component of an ablation: (trials, profile, overrides that all share), as KFP's NamedTuple."""
    found: list[Any] = []

    def work(watch: Watch) -> steps.Outcome:
        profile, common = ablation_plan(preset, overrides, source)
        asked = ablation_trials(preset, variants, seeds, overrides, source)
        watch.start({"preset": preset, "variants": variants, "seeds": seeds, "overrides": overrides}, {})
        trials = [{**dataclasses.asdict(t), "label": f"{t.variant}/{t.seed}", "profile": profile} for t in asked]
        found.extend((trials, profile, json.dumps(common, sort_keys=True)))
        return steps.Outcome(metrics={"trials": len(trials)}, reused=False)

    run_watched("plan", work, Path(os.devnull), metrics=None, page=None, note=None)
    return collections.namedtuple("Plan", "Output profile shared")(*found)


def run_shards(*, count: int, overrides: str) -> Any:
    """The first component of a sharded run: the overrides of each shard, as KFP's NamedTuple. Raises ConfigError."""
    found: list[dict[str, str]] = []

    def work(watch: Watch) -> steps.Outcome:
        common = presets.parse_overrides(overrides)
        watch.start({"shards": count, "overrides": overrides}, {})
        for shard in range(count):
            own = common | {"ingest.shard": shard, "ingest.shards": count}
            presets.resolve(overrides=own)
            found.append({"overrides": json.dumps(own, sort_keys=True), "label": f"{shard} of {count}"})
        values.require(count >= 2, f"shards is {count}: at least 2; the pipeline `danqing` ingests in one piece")
        return steps.Outcome(metrics={"shards": count}, reused=False)

    run_watched("shards", work, Path(os.devnull), metrics=None, page=None, note=None)
    return collections.namedtuple("Shards", "Output")(found)


def run_merge(
    *, parts: Sequence[Any], out: Any, metrics: Any, profile: str, overrides: str, data_revision: str
) -> None:
    """Step `ingest` of the parts that other components wrote."""
    with tempfile.TemporaryDirectory(prefix="danqing-parts-") as folder:
        for number, part in enumerate(parts):
            files.copy_tree(Path(part.path), Path(folder) / str(number))
        run_component(
            "ingest", inputs={}, out=out, profile=profile, overrides=overrides, metrics=metrics,
            source=f"parts:{folder}", data_revision=data_revision, label="merge",
        )  # fmt: skip


def ablation_plan(preset: str, overrides: str, source: str) -> tuple[str, dict[str, Any]]:
    """(profile, overrides that all trials share) of an ablation's parameters. Raises ConfigError."""
    from danqing import variants

    return variants.shared(preset, presets.parse_overrides(overrides) | ({"ingest.source": source} if source else {}))


def ablation_trials(preset: str, variants: str, seeds: str, overrides: str, source: str) -> list[Any]:
    """The trials of an ablation's parameters; variants and seeds are separated by commas. Raises ConfigError."""
    from danqing.variants import trials

    values = presets.parse_overrides(overrides) | ({"ingest.source": source} if source else {})
    numbers = [int(part) if part.strip().isdecimal() else -1 for part in seeds.split(",") if seeds.strip()]
    return trials(preset, [n.strip() for n in variants.split(",") if n.strip()], numbers, values)


def run_comparison(
    *, trials: Sequence[Mapping[str, Any]], evaluations: Sequence[Any], tokenizers: Sequence[Any],
    painters: Sequence[Any], out: Any, profile: str, rounds: int, metrics: Any, page: Any, note: Any,
) -> None:  # fmt: skip
    """The last component of an ablation. The lists of artifacts are in the order of `trials`."""
    folder = Path(out.path)

    def work(watch: Watch) -> steps.Outcome:
        from danqing.evaluate.ablation import compare
        from danqing.variants import Trial

        asked = [Trial(variant=t["variant"], seed=int(t["seed"]), overrides=t["overrides"]) for t in trials]
        line = presets.resolve(profile, asked[0].overrides)
        watch.start({"profile": profile, "trials": len(asked), "rounds": rounds}, versioning.lineage(line))
        read = [[Path(artifact.path) for artifact in given] for given in (evaluations, tokenizers, painters)]
        found = compare(profile, asked, *read, out=folder, rounds=rounds, monitor=watch.monitor)
        return steps.Outcome(metrics=found, reused=False)

    run_watched("compare", work, folder, metrics=metrics, page=page, note=note)


def _registry_arguments(name: str, line: config.Line, data_revision: str) -> dict[str, Any]:
    if name not in ("gate", "register"):
        return {}
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        raise RegistryError("MLFLOW_TRACKING_URI is not set: tell the pipeline's ConfigMap where the MLflow server is")
    if name == "gate":
        return {"tracking_uri": uri, "model_name": line.register.name}
    return {"tracking_uri": uri, "lineage": versioning.lineage(line, data_revision=data_revision)}


def _watch(name: str) -> Watch:
    path = os.environ.get("DANQING_EVENTS", "")
    return _Followed(Path(path), name) if path else _Tracked(name)


class Watch(Protocol):
    """Whoever is told what becomes of a component."""

    @property
    def monitor(self) -> Monitor: ...

    def start(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None: ...

    def done(self, outcome: steps.Outcome, folder: Path) -> None: ...

    def failed(self, message: str, exit_code: int, folder: Path) -> None: ...


class _Followed:
    """`danqing run` follows a file of events and does the rest."""

    def __init__(self, path: Path, name: str) -> None:
        self._events, self._began = Events(path, name), time.monotonic()
        self.monitor: Monitor = Several(Terminal(name), self._events)

    def start(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        self._events.event(state="started", params=params, tags=tags)

    def done(self, outcome: steps.Outcome, folder: Path) -> None:
        seconds = time.monotonic() - self._began
        self._events.event(
            state="done", reused=outcome.reused, results=outcome.metrics, out=str(folder), seconds=seconds
        )

    def failed(self, message: str, exit_code: int, folder: Path) -> None:
        self._events.event(state="failed", error=message, exit_code=exit_code, out=str(folder))


class _Tracked:
    """Nobody follows: log to the MLflow server, where one is named, and write lines for the pod's log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._run: tracking.StepRun | None = None
        self._tracker: tracking.Tracker | None = None
        self.monitor: Monitor = Terminal(name)

    def start(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        if not uri:
            return
        self._tracker = tracking.Tracker(uri, os.environ.get("KFP_RUN_ID", "") or "local")
        self._run = self._tracker.step(self._name)
        with tracking.reaching(uri):
            self._run.params(params)
            self._run.tags(tags)
        self.monitor = Several(self.monitor, tracking.Tolerant(self._run))

    def done(self, outcome: steps.Outcome, folder: Path) -> None:
        if self._run is None or self._tracker is None:
            return
        with _told(), tracking.reaching(self._tracker.uri):
            self._run.end(outcome.metrics, folder)
            self._tracker.note(self._name, outcome.metrics)

    def failed(self, message: str, exit_code: int, folder: Path) -> None:
        if self._run is None or self._tracker is None:
            return
        with _told(), tracking.reaching(self._tracker.uri):
            self._run.end({"error": message}, folder, "FAILED")
            self._tracker.parent().finish("FAILED")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Whatever the tracking server does now, the step has ended as it has."""
    try:
        yield
    except RegistryError as error:
        print(f"not tracked: {error}", file=sys.stderr, flush=True)


def _show(folder: Path, title: str, page: Any, note: Any) -> None:
    """Fill the HTML and Markdown artifacts; a step that wrote nothing to read gets a line that says so."""
    empty = f"{title} left nothing to read; see the log."
    if page is not None:
        found = next((folder / name for name in _PAGES if (folder / name).is_file()), None)
        text = found.read_text(encoding="utf-8") if found else _picture_page(folder, title)
        files.write_text(Path(page.path), text or f"<!doctype html><meta charset=utf-8><p>{empty}")
    if note is not None:
        found = next((folder / name for name in _NOTES if (folder / name).is_file()), None)
        files.write_text(Path(note.path), found.read_text(encoding="utf-8") if found else empty + "\n")


def _picture_page(folder: Path, title: str) -> str:
    """The step's pictures in one page that needs no other file; `` if there is none."""
    shown = [folder / name for name in _PICTURES if (folder / name).is_file()]
    if not shown:
        return ""
    body = "".join(
        f"<h2>{html.escape(file.stem)}</h2><img style='max-width:100%;image-rendering:pixelated' "
        f"src='data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}'>"
        for file in shown
    )
    return f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title>{body}"


def _die_with_parent() -> None:
    """Below `danqing run`, end when it ends: two processes must never write one checkpoint folder."""
    parent = os.environ.get("DANQING_PARENT", "")
    if not parent.isdecimal():
        return

    def watch() -> None:
        while True:
            time.sleep(1)
            try:
                os.kill(int(parent), 0)
            except ProcessLookupError:
                os._exit(1)
            except PermissionError:
                return

    threading.Thread(target=watch, daemon=True).start()
