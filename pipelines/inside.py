"""A pipeline by kfp.local, in processes or in containers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danqing.errors import ConfigError
from pipelines.containers import Ready
from pipelines.engine import ARTIFACTS, PICTURES, Engine

_FOLDER = "folder:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inside:
    """Containers that are ready for a run."""

    ready: Ready
    pictures: Path | None = None
    """A folder of this machine that `ingest` reads."""

    def execute(
        self, pipeline: Callable[[], Any], arguments: Mapping[str, Any], root: Path, folder: Path, threads: int | None
    ) -> bool:
        """Run the pipeline in the workspace `root`, as the run that `folder` is named by; whether it ended well."""
        engine = Engine(ready=self.ready, run_id=folder.name, root=root, folder=folder, pictures=self.pictures,
                        threads=threads)  # fmt: skip
        with engine.running():
            return orchestrate(engine.runner(), ARTIFACTS, engine.adapted(pipeline()), arguments)


def orchestrate(runner: Any, pipeline_root: str, spec: Any, arguments: Mapping[str, Any]) -> bool:
    """Let kfp.local run the compiled pipeline `spec`; whether it says that it ended well."""
    from kfp import local
    from kfp.local import pipeline_orchestrator

    local.init(runner=runner, pipeline_root=pipeline_root, raise_on_error=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about placement and images, which are for the cluster
            pipeline_orchestrator.run_local_pipeline(spec, dict(arguments))
    except RuntimeError as error:
        print(error)  # into the log; what the user reads comes from the step itself
        return False
    return True


def pictures(configured: str, source: str) -> tuple[Path | None, str]:
    """(folder of this machine that `ingest` needs, the pipeline's parameter `source`) for a source as configured."""
    if not configured.startswith(_FOLDER):
        return None, source
    folder = Path(configured.removeprefix(_FOLDER)).expanduser().resolve()
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder; check ingest.source")
    return folder, f"{_FOLDER}{PICTURES}"
