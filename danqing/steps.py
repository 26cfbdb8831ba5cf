"""The steps of the line, as data: what each reads, writes and which section of the configuration it sees.

One step has three callers, and all of them go through `run`: the command line, the KFP component and the tests.
`run` also remembers: a step whose configuration and inputs are unchanged is not run again, and one that was killed
goes on from its last checkpoint, because its memo folder is named by the fingerprint of everything that it depends on.

Where torchrun started several processes, all of them call `run`: the first claims, locks, remembers and writes, the
others wait for its word and then share the work.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from danqing import files, ranks, values
from danqing.errors import ConfigError
from danqing.monitor import Monitor, Silent
from danqing.pretrained import start_folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    name: str
    section: str
    """Section of `danqing.config.Line` that the step sees."""
    function: str
    """`module:function`, called as function(**inputs, out=…, config=…, monitor=…, scratch=…) → dict of metrics."""
    inputs: Mapping[str, str]
    """Argument name → the step whose output folder it is."""
    after: tuple[str, ...] = ()
    """Steps that must have ended well although nothing of them is read."""
    heavy: bool = False
    """Wants a GPU where one is."""
    parallel: bool = False
    """Several processes (`danqing.ranks`) can share it."""
    kind: str = "Artifact"
    """KFP artifact class of the output: Dataset, Model, HTML..."""


_STEPS = (
    Step(name="ingest", section="ingest", function="danqing.data.ingest:ingest", inputs={}, kind="Dataset"),
    Step(name="screen", section="screen", function="danqing.data.screen:screen", inputs={"corpus": "ingest"},
         heavy=True, kind="Dataset"),
    Step(name="annotate", section="annotate", function="danqing.data.annotate:annotate",
         inputs={"corpus": "screen"}, kind="Dataset"),
    Step(name="validate", section="validate", function="danqing.platform.expectations:validate",
         inputs={"corpus": "annotate"}),
    Step(name="train_tokenizer", section="tokenizer", function="danqing.train.tokenizer:train_tokenizer",
         inputs={"corpus": "annotate", "screener": "screen"}, after=("validate",), heavy=True, parallel=True,
         kind="Model"),
    Step(name="train_clip", section="clip", function="danqing.train.clip:train_clip",
         inputs={"corpus": "annotate"}, after=("validate",), heavy=True, parallel=True, kind="Model"),
    Step(name="train_painter", section="painter", function="danqing.train.painter:train_painter",
         inputs={"corpus": "annotate", "tokenizer": "train_tokenizer", "clip": "train_clip"}, heavy=True,
         parallel=True, kind="Model"),
    Step(name="evaluate", section="evaluate", function="danqing.evaluate.evaluate:evaluate",
         inputs={"corpus": "annotate", "tokenizer": "train_tokenizer", "clip": "train_clip",
                 "painter": "train_painter"}, heavy=True, parallel=True),
    Step(name="gate", section="gate", function="danqing.platform.registry:gate", inputs={"evaluation": "evaluate"}),
    Step(name="export", section="export", function="danqing.export.package:export",
         inputs={"corpus": "annotate", "tokenizer": "train_tokenizer", "painter": "train_painter"}, heavy=True,
         kind="Model"),
    Step(name="register", section="register", function="danqing.platform.registry:register",
         inputs={"package": "export", "evaluation": "evaluate", "decision": "gate"}),
)  # fmt: skip

STEPS: dict[str, Step] = {step.name: step for step in _STEPS}

# What these steps do depends on the registry, not only on files: they always run. So does a fetch from a museum.
_NEVER_REMEMBERED = frozenset({"gate", "register"})
_MARK = ".danqing-step"
"""A folder with this file was written by a step, which may replace it."""


def memo_root() -> Path:
    """Where results and checkpoints are remembered: $DANQING_MEMO, or .danqing/memo here."""
    return Path(os.environ.get("DANQING_MEMO", ".danqing/memo"))


@functools.cache
def _code() -> str:
    """Fingerprint of this package's source: a result of other code is not this code's result."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".json", ".css")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def key(step: Step, section: Any, inputs: Mapping[str, Path], rerun: str = "") -> str:
    """The fingerprint of everything that the step's output depends on, and of the word `rerun` if there is one."""
    parts: dict[str, Any] = {
        "step": step.name,
        "code": _code(),
        "config": values.as_dict(section),
        "inputs": {name: files.fingerprint(path) for name, path in inputs.items()},
    }
    source = getattr(section, "source", "")
    if source.startswith(("folder:", "parts:")):
        folder = Path(source.partition(":")[2]).expanduser()
        if not folder.is_dir():
            raise ConfigError(f"{folder}: there is no such folder; check ingest.source")
        parts["folder"] = files.fingerprint(folder)
    if (start := start_folder(getattr(section, "init", "scratch"))) is not None:
        name = {"train_tokenizer": "tokenizer", "train_painter": "painter"}[step.name]
        if not (start / f"{name}.safetensors").is_file():
            raise ConfigError(f"{start}: there is no {name}.safetensors to go on from; check {name}.init")
        parts["start"] = files.sha256(start / f"{name}.safetensors")
    if rerun:
        parts["rerun"] = rerun
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def remembered(name: str, section: Any, inputs: Mapping[str, Path], rerun: str = "") -> bool:
    """Whether `run` would take step `name`'s result from the memo."""
    return (memo_root() / name / key(STEPS[name], section, inputs, rerun) / "done.json").is_file()


def function(step: Step) -> Any:
    module, _, name = step.function.partition(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    metrics: dict[str, Any]
    reused: bool


def run(
    name: str,
    section: Any,
    inputs: Mapping[str, Path],
    out: Path,
    *,
    monitor: Monitor | None = None,
    extra: Mapping[str, Any] | None = None,
    rerun: str = "",
) -> Outcome:
    """Run step `name` into the folder `out`, or take its remembered result.

    inputs: argument name → folder, exactly the step's own. extra: further keyword arguments of the step's function
    (gate and register take the registry's address and lineage so); they are not part of the memo key. rerun: with a
    new word the step runs although nothing has changed; what was remembered without it stays remembered.
    """
    if name not in STEPS:
        raise ConfigError(f"there is no step {name!r}; steps are {', '.join(STEPS)}")
    step = STEPS[name]
    if set(inputs) != set(step.inputs):
        raise ConfigError(
            f"step {name} reads {', '.join(step.inputs) or 'nothing'}, not {', '.join(inputs) or 'nothing'}"
        )
    if ranks.launched() > 1 and not step.parallel:
        raise ConfigError(f"step {name} is not for several processes; start it once, without torchrun or --processes")
    with ranks.group():
        if not ranks.first():
            return _share(step, section, inputs)
        leader = _Leader()
        with leader:
            return _lead(leader, step, section, inputs, out, monitor or Silent(), extra or {}, rerun)


def _lead(
    leader: _Leader, step: Step, section: Any, inputs: Mapping[str, Path], out: Path, monitor: Monitor,
    extra: Mapping[str, Any], rerun: str,
) -> Outcome:  # fmt: skip
    name = step.name
    memo = memo_root() / name / key(step, section, inputs, rerun)
    _claim(out, name, inputs)

    def work(into: Path, scratch: Path) -> dict[str, Any]:
        leader.say(str(scratch))
        given = {"config": section, "monitor": monitor, "scratch": scratch, **extra}
        return function(step)(**inputs, out=into, **given) or {}  # imported only where it is called

    with _alone(memo, monitor, leader):
        if name in _NEVER_REMEMBERED or getattr(section, "source", "") == "museum":
            return _run_afresh(work, out, memo)
        return _run_once(work, name, out, memo, monitor)


class _Leader:
    """The first rank's word to the others, who wait for it in `_share`: where the scratch folder is, or not to wait."""

    def __init__(self) -> None:
        self._said = False

    def say(self, word: str) -> None:
        self._said = word != _WAIT
        _word(word)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._said:
            self.say(_REUSED if kind is None else _FAILED)


_WAIT, _REUSED, _FAILED = "wait", "reused", "failed"


def _word(word: str = "") -> str:
    """The first rank's word, on all of them."""
    if ranks.world() == 1:
        return word
    from danqing import collectives

    return collectives.from_first(word.encode()).decode()


def _share(step: Step, section: Any, inputs: Mapping[str, Path]) -> Outcome:
    """What every rank but the first does. What its part of the step writes is thrown away."""
    while (word := _word()) == _WAIT:
        pass
    if word == _FAILED:
        raise SystemExit(1)  # the first says why
    if word != _REUSED:
        with tempfile.TemporaryDirectory(prefix="danqing-rank-") as nowhere:
            function(step)(**inputs, out=Path(nowhere), config=section, monitor=Silent(), scratch=Path(word))
    return Outcome(metrics={}, reused=word == _REUSED)


def _claim(out: Path, name: str, inputs: Mapping[str, Path]) -> None:
    """Make `out`, or refuse it: a step replaces everything in its folder, so it takes none that holds other things."""
    out = out.resolve()
    for argument, path in inputs.items():
        if path.resolve().is_relative_to(out) or out.is_relative_to(path.resolve()):
            raise ConfigError(f"{out}: would overwrite what step {name} reads as {argument}; choose another folder")
    with files.storage(out):
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not (out / _MARK).is_file():
            raise ConfigError(f"{out}: the folder is not empty and no step wrote it; choose another, or empty it")
    files.write_text(out / _MARK, f"{name}\n")


@contextlib.contextmanager
def _alone(memo: Path, monitor: Monitor, leader: _Leader) -> Iterator[None]:
    """Hold the memo folder: two processes must never write one checkpoint. Whoever comes second waits, then reuses."""
    lock = memo.with_suffix(".lock")
    with files.storage(lock):
        memo.parent.mkdir(parents=True, exist_ok=True)
        file = open(lock, "w")  # noqa: SIM115 - closed by the `with` below
    with file:
        if not _locked(file):
            monitor.progress(0, 1, "waiting for another process that runs this very step")
        while not _locked(file):
            leader.say(_WAIT)  # so that nobody takes the silence for death
            time.sleep(0.2)
        yield


def _locked(file: IO[str]) -> bool:
    """Whether this process holds the lock now; taking it twice is no harm."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


Work = Callable[[Path, Path], dict[str, Any]]
"""Runs a step into a folder, with a scratch folder; returns its metrics."""


def _run_afresh(work: Work, out: Path, memo: Path) -> Outcome:
    scratch = memo / "scratch"  # what a killed run had fetched of a museum is not fetched again
    with files.storage(scratch):
        scratch.mkdir(parents=True, exist_ok=True)
    metrics = work(out, scratch)
    shutil.rmtree(memo, ignore_errors=True)
    return Outcome(metrics=metrics, reused=False)


def _run_once(work: Work, name: str, out: Path, memo: Path, monitor: Monitor) -> Outcome:
    done = memo / "done.json"
    reused = done.is_file()
    if reused:
        monitor.progress(1, 1, "unchanged, reused")
    else:
        fresh, scratch = memo / "work", memo / "scratch"
        with files.storage(memo):
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            scratch.mkdir(exist_ok=True)
        files.write_text(fresh / _MARK, f"{name}\n")
        try:
            metrics = work(fresh, scratch)
        except Exception:
            for report in fresh.glob("report.*"):  # what a failed step has to say survives it
                files.copy_tree(report, out / report.name)
            raise
        with files.storage(memo):
            for file in fresh.rglob("*"):
                if file.is_file():
                    file.chmod(0o444)  # outputs are links to these: an edit in place would change what is remembered
            shutil.rmtree(memo / "out", ignore_errors=True)
            fresh.replace(memo / "out")
        files.write_json(done, {"metrics": metrics})
        shutil.rmtree(scratch, ignore_errors=True)
    metrics = files.read_json(done)["metrics"]
    monitor.metrics({k: v for k, v in metrics.items() if isinstance(v, (int, float)) and not isinstance(v, bool)})
    files.copy_tree(memo / "out", out)
    return Outcome(metrics=metrics, reused=reused)
