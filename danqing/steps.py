"""The steps of the line, as data: what each reads, writes and which section of the configuration it sees.

One step has three callers, and all of them go through `run`: the command line, the KFP component and the tests.
`run` also remembers: a step whose configuration and inputs are unchanged is not run again, and one that was killed
goes on from its last checkpoint, because its memo folder is named by the fingerprint of everything that it depends on.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danqing import config, files
from danqing.errors import ConfigError
from danqing.monitor import Monitor, Silent
from danqing.pretrained import box


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
         inputs={"corpus": "annotate", "screener": "screen"}, after=("validate",), heavy=True, kind="Model"),
    Step(name="train_clip", section="clip", function="danqing.train.clip:train_clip",
         inputs={"corpus": "annotate"}, after=("validate",), heavy=True, kind="Model"),
    Step(name="train_painter", section="painter", function="danqing.train.painter:train_painter",
         inputs={"corpus": "annotate", "tokenizer": "train_tokenizer", "clip": "train_clip"}, heavy=True,
         kind="Model"),
    Step(name="evaluate", section="evaluate", function="danqing.evaluate.evaluate:evaluate",
         inputs={"corpus": "annotate", "tokenizer": "train_tokenizer", "clip": "train_clip",
                 "painter": "train_painter"}, heavy=True),
    Step(name="gate", section="gate", function="danqing.platform.registry:gate", inputs={"evaluation": "evaluate"}),
    Step(name="export", section="export", function="danqing.export.package:export",
         inputs={"tokenizer": "train_tokenizer", "painter": "train_painter"}, heavy=True, kind="Model"),
    Step(name="register", section="register", function="danqing.platform.registry:register",
         inputs={"package": "export", "evaluation": "evaluate", "decision": "gate"}),
)  # fmt: skip

STEPS: dict[str, Step] = {step.name: step for step in _STEPS}

# What these steps do depends on the registry, not only on files: they always run.
_NEVER_REMEMBERED = frozenset({"gate", "register"})
# Sources outside this program can change under an unchanged configuration.
_REMEMBERED_SOURCES = ("brush",)


def memo_root() -> Path:
    """Where results and checkpoints are remembered: $DANQING_MEMO, or .danqing/memo here."""
    return Path(os.environ.get("DANQING_MEMO", ".danqing/memo"))


@functools.cache
def _code() -> str:
    """Fingerprint of this package's source: a result of other code is not this code's result."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def key(step: Step, section: Any, inputs: Mapping[str, Path]) -> str:
    """The fingerprint of everything that the step's output depends on."""
    parts: dict[str, Any] = {
        "step": step.name,
        "code": _code(),
        "config": config.as_dict(section),
        "inputs": {name: files.fingerprint(path) for name, path in inputs.items()},
    }
    source = getattr(section, "source", "")
    if source.startswith("folder:"):
        parts["folder"] = files.fingerprint(Path(source.removeprefix("folder:")))
    if getattr(section, "init", "") == "pretrained":
        name = {"train_tokenizer": "tokenizer", "train_painter": "painter"}[step.name]
        parts["box"] = files.sha256(box() / f"{name}.safetensors")
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


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
) -> Outcome:
    """Run step `name` into the folder `out`, or take its remembered result.

    inputs: argument name → folder, exactly the step's own. extra: further keyword arguments of the step's function
    (gate and register take the registry's address and lineage so); they are not part of the memo key.
    """
    if name not in STEPS:
        raise ConfigError(f"there is no step {name!r}; steps are {', '.join(STEPS)}")
    step = STEPS[name]
    if set(inputs) != set(step.inputs):
        raise ConfigError(
            f"step {name} reads {', '.join(step.inputs) or 'nothing'}, not {', '.join(inputs) or 'nothing'}"
        )
    monitor = monitor or Silent()
    memo = memo_root() / name / key(step, section, inputs)
    source = getattr(section, "source", "brush")
    remembers = name not in _NEVER_REMEMBERED
    remembers = remembers and (source in _REMEMBERED_SOURCES or source.startswith("folder:"))
    if not remembers:
        scratch = memo / "scratch"  # what a killed run had fetched of a museum is not fetched again
        with files.storage(out):
            out.mkdir(parents=True, exist_ok=True)
            scratch.mkdir(parents=True, exist_ok=True)
        metrics = function(step)(**inputs, out=out, config=section, monitor=monitor, scratch=scratch, **(extra or {}))
        shutil.rmtree(memo, ignore_errors=True)
        return Outcome(metrics=metrics or {}, reused=False)

    done = memo / "done.json"
    if not done.is_file():
        work, scratch = memo / "work", memo / "scratch"
        with files.storage(memo):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            scratch.mkdir(exist_ok=True)
        try:
            metrics = function(step)(
                **inputs, out=work, config=section, monitor=monitor, scratch=scratch, **(extra or {})
            )
        except Exception:
            for report in work.glob("report.*"):  # what a failed step has to say survives it
                files.copy_tree(report, out / report.name)
            raise
        with files.storage(memo):
            shutil.rmtree(memo / "out", ignore_errors=True)
            work.replace(memo / "out")
        files.write_json(done, {"metrics": metrics or {}})
        shutil.rmtree(scratch, ignore_errors=True)
        reused = False
    else:
        reused = True
        monitor.progress(1, 1, "unchanged, reused")
    metrics = files.read_json(done)["metrics"]
    monitor.metrics({k: v for k, v in metrics.items() if isinstance(v, (int, float)) and not isinstance(v, bool)})
    files.copy_tree(memo / "out", out)
    return Outcome(metrics=metrics, reused=reused)
