"""What a run leaves and says at its end."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from danqing import config, files, package
from danqing.errors import DanqingError
from danqing.platform import registry, tracking
from pipelines.events import Event

# Step → files of its output that are copied to <workspace>/latest, and under which names.
_LATEST = {
    "evaluate": {name: name for name in ("samples.png", "reconstructions.png", "report.html")},
    "validate": {"report.html": "validation.html"},
    "gate": {"decision.md": "decision.md"},
}  # fmt: skip
# The numbers worth a look at the end, of all that evaluate measures.
_SHOWN = (
    "psnr", "line_energy", "global_usage", "detail_usage", "kernel_distance", "clip_cosine", "match_p",
    "probe_hit_rate", "probe_chance",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A run that ended well."""

    run_id: str
    workspace: Path
    seconds: float
    steps: Mapping[str, Mapping[str, Any]]
    """Step → its results."""
    reused: tuple[str, ...]
    """Steps that were not run again because nothing that they depend on had changed."""
    latest: Mapping[str, Path]
    """File name → its copy in <workspace>/latest."""
    model: str
    version: int
    promoted: bool
    champion: int | None
    reasons: tuple[str, ...]
    """What the gate said, a line a bar."""
    mlflow: str
    """The tracking address."""
    tracking_error: str = ""

    @property
    def mlflow_command(self) -> str:
        """How to open the run in a browser."""
        if tracking.sqlite_file(self.mlflow) is None:
            return self.mlflow
        return f"mlflow ui --backend-store-uri {shlex.quote(self.mlflow)}"

    def show(self, console: Console) -> None:
        def say(name: str, value: object) -> None:
            # No wrapping: paths and commands are there to be copied.
            console.print(f"  {name:<9} {value}", highlight=False, markup=False, soft_wrap=True)

        usual = self.workspace == package.workspace().resolve()
        here = "" if usual else f"DANQING_WORKSPACE={shlex.quote(str(self.workspace))} "
        console.print(f"\nfinished in {_duration(self.seconds)}", highlight=False)
        if self.reused:
            say("reused", f"{', '.join(self.reused)} (unchanged)")
        measured = self.steps.get("evaluate", {})
        shown = [f"{name} {measured[name]:.4g}" for name in _SHOWN if isinstance(measured.get(name), (int, float))]
        if shown:
            say("measured", ", ".join(shown))
        for name, title in (("samples.png", "pictures"), ("report.html", "report"), ("validation.html", "corpus")):
            if name in self.latest:
                say(title, self.latest[name])
        role = "champion" if self.champion == self.version else "challenger"
        say("model", f"{self.model} version {self.version}, {role}")
        if role == "challenger":
            for reason in self.reasons:
                if reason.startswith("FAILED"):
                    say("", reason)
            named = "" if self.model == config.Register().name else f" --name {shlex.quote(self.model)}"
            say("", f"`{here}danqing promote {self.version}{named}` makes it champion all the same")
        say("mlflow", self.mlflow_command)
        if self.tracking_error:
            say("", f"MLflow did not get everything: {self.tracking_error}")
        say("paint", f'{here}danqing paint "a lone boat under misty mountains, freehand" -o boat.png')
        say("serve", f"{here}danqing serve")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def summarise(
    root: Path,
    run_id: str,
    line: config.Line,
    done: Mapping[str, Event],
    uri: str,
    *,
    seconds: float,
    tracking_error: str = "",
) -> Summary:
    """Copy what a person wants to open to <workspace>/latest, and gather the rest."""
    latest = {}
    for step, names in _LATEST.items():
        for name, copy in names.items():
            file = Path(done[step]["out"]) / name if step in done else None
            target = root / "latest" / copy
            if file is None or not file.is_file():
                continue
            with files.atomic(target) as temporary:  # a copy, not a link: the memo must not change with it
                shutil.copyfile(file, temporary)
            latest[copy] = target
    registered = done["register"]["results"]
    decision = files.read_json(Path(done["gate"]["out"]) / "decision.json")
    try:
        champion = registry.champion(uri, line.register.name)
    except DanqingError:
        champion = None
    return Summary(
        run_id=run_id,
        workspace=root,
        seconds=seconds,
        steps={name: event["results"] for name, event in done.items()},
        reused=tuple(name for name, event in done.items() if event["reused"]),
        latest=latest,
        model=line.register.name,
        version=int(registered["version"]),
        promoted=bool(registered["promoted"]),
        champion=champion.number if champion else None,
        reasons=tuple(decision["reasons"]),
        mlflow=uri,
        tracking_error=tracking_error,
    )  # fmt: skip
