"""The works that a served model was trained on; models come and go while the gateway runs."""

from __future__ import annotations

import time
from pathlib import Path

from danqing.errors import DanqingError
from danqing.package import Package, champion
from danqing.pretrained import box
from danqing.tracing import Works
from serving.gateway import metrics

PAUSE = 10.0
"""Seconds between two looks for a model that is not known."""


class KnownWorks:
    """Of the model in the box, the champion of this workspace and the package in the folder `model`, by version."""

    def __init__(self, model: str = "") -> None:
        self._model = model
        self._found: dict[str, Works | None] = {}
        self._looked = float("-inf")

    def of(self, version: str) -> Works | None:
        """None where the model saw nobody's work, or is not to be found here: that is counted."""
        if version not in self._found and time.monotonic() - self._looked >= PAUSE:
            self._looked = time.monotonic()
            for folder in (box(), champion(), *([Path(self._model)] if self._model else [])):
                try:
                    self._found[Package.read(folder, verify=False).version] = Works.load(folder)
                except DanqingError:  # a champion that is being replaced
                    continue
        if version not in self._found:
            metrics.untraced.inc()
        return self._found.get(version)
