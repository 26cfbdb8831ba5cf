"""The controller's side of MLflow: which version is champion, its files, and what became of it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

from danqing.errors import RegistryError
from danqing.platform import registry, tracking, versions
from danqing.platform.versions import CHAMPION, Version

TAG, LINE = "rollout", "Rollout: "
"""The tag on a model version, and how the last line of its description begins that says the same."""
SERVING = "serving"
_LONGEST = 500


class Registry:
    """The model `name` in the registry at `uri`. Every method raises RegistryError when it cannot be reached."""

    def __init__(self, uri: str, name: str, *, fetch_timeout: float = 600.0) -> None:
        self.uri, self.name, self.fetch_timeout = uri, name, fetch_timeout
        self._known: dict[int, Version] = {}
        self._untold: dict[int, str] = {}

    def champion(self) -> Version | None:
        self._known = versions.read(self.uri, self.name)
        return next((version for version in self._known.values() if CHAMPION in version.aliases), None)

    def fetch(self, version: Version, into: Path) -> None:
        """Put the package's files into the folder `into`, unchecked.

        A registry may send a byte now and then for ever: what takes longer than `fetch_timeout` is given up.
        """
        failed: list[BaseException] = []

        def work() -> None:
            try:
                registry.fetch(version, into, tracking_uri=self.uri)
            except BaseException as error:  # noqa: BLE001 - raised again below
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(self.fetch_timeout)
        if thread.is_alive():
            raise RegistryError(f"{self.uri}: the files did not come within {self.fetch_timeout:g} s; is it slow?")
        if failed:
            raise failed[0]

    def serves(self, number: int) -> None:
        """Note that `number` is served, and no other version is any more."""
        for other in self._known.values():
            if other.number != number and other.tags.get(TAG) == SERVING:
                self._untold[other.number] = f"replaced by version {number}"
        self._untold[number] = SERVING

    def refused(self, number: int, why: str) -> None:
        self._untold[number] = f"refused: {' '.join(why.split())}"[:_LONGEST]

    def tell(self) -> None:
        """Write what was noted onto the model versions; what cannot be written now is written next time."""
        for number, text in list(self._untold.items()):
            version = self._known.get(number)
            if version is not None and version.tags.get(TAG) != text:
                self._write(number, text)
            del self._untold[number]

    def _write(self, number: int, text: str) -> None:
        with tracking.reaching(self.uri):
            client, version = tracking.client(self.uri), str(number)
            before = client.get_model_version(self.name, version).description or ""
            client.set_model_version_tag(self.name, version, TAG, text)
            client.update_model_version(self.name, version, description=with_line(before, text))


def with_line(description: str, text: str) -> str:
    """`description` with `text` in its last line, which is the controller's; all others are the owner's."""
    lines = description.splitlines()
    if lines and lines[-1].startswith(LINE):
        lines.pop()
    return "\n".join([*lines, f"{LINE}{text} ({datetime.now(UTC):%Y-%m-%d %H:%M} UTC)"])
