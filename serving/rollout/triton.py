"""The controller's side of Triton: which version callers get, loading another beside it, pointing to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from danqing.errors import ServingError
from serving.client import wire
from serving.rollout import naming
from serving.rollout.naming import POINTERS, Release, Served
from serving.triton.server import CONTROL_KEY


class Triton:
    """A Triton that was started with `serving.triton.server.control(secret)`.

    load_timeout, call_timeout: seconds that a load, and any other call, may take. Every method raises ServingError.
    """

    def __init__(self, url: str, secret: str = "", *, load_timeout: float = 300.0, call_timeout: float = 60.0) -> None:
        from tritonclient.grpc import InferenceServerClient

        host, port, secure = wire.parse(url)
        self.url, self.load_timeout, self.call_timeout = f"{host}:{port}", load_timeout, call_timeout
        self._headers = {f"triton-grpc-protocol-{CONTROL_KEY}": secret} if secret else None
        self.client = InferenceServerClient(self.url, ssl=secure, channel_args=wire.CHANNEL)

    def close(self) -> None:
        self.client.close()

    def pointed(self) -> Served | None:
        """What callers get; None if they get nothing."""
        found = {}
        with self.errors("does not answer"):
            for name in POINTERS:
                if self.client.is_model_ready(name, client_timeout=self.call_timeout):
                    parameters = self.client.get_model_config(name, client_timeout=self.call_timeout).config.parameters
                    found[name] = parameters[naming.KEY].string_value, parameters[naming.PACKAGE].string_value
        if POINTERS[0] not in found:
            return None
        key, sha = found[POINTERS[0]] if len(set(found.values())) == 1 else ("", "")
        return Served(key=key, sha=sha, pointers=frozenset(found))

    def loaded(self) -> set[str]:
        """The keys of all versions that are in memory."""
        prefix = f"{POINTERS[0]}-"
        return {name.removeprefix(prefix) for name in self._ready() if name.startswith(prefix)}

    def load(self, release: Release) -> None:
        """Load `release` beside what is there; no caller sees it yet."""

        def load(name: str) -> None:
            with self.errors(f"does not load {name}"):
                self.client.load_model(name, headers=self._headers, client_timeout=self.load_timeout)

        names = [folder.name for folder in release.models()]
        ensembles = {name for name in names if naming.read(release.folder / name).platform == "ensemble"}
        # What they are made of first, at the same time: most of what a model takes is waiting for its process.
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(load, sorted(set(names) - ensembles)))
            list(pool.map(load, sorted(ensembles)))

    def point(self, release: Release) -> None:
        """Let callers get `release`, from one request to the next."""
        from google.protobuf import json_format

        for folder in release.pointers():
            # Sent along, the configuration counts as changed, whatever the dates of files and the clock say.
            config = json_format.MessageToJson(naming.read(folder), preserving_proto_field_name=True)
            with self.errors(f"does not point {folder.name} to {release.key}"):
                self.client.load_model(
                    folder.name, headers=self._headers, config=config, client_timeout=self.load_timeout
                )
        for name in set(POINTERS) - release.served().pointers:
            with self.errors(f"does not unload {name}"):
                if self.client.is_model_ready(name, client_timeout=self.call_timeout):
                    self._unload(name)
        now = self.pointed()
        if now != release.served():
            raise ServingError(f"{self.url}: Triton was pointed to {release.key} and serves {now and now.key!r}")

    def unload(self, key: str) -> None:
        """Free the memory of a version that callers do not get. What they do get is never unloaded."""
        now = self.pointed()
        if now is not None and now.key in (key, ""):
            return
        ours = [name for name in self._ready() if name.endswith(f"-{key}")]
        for name in sorted(ours, key=lambda name: not name.startswith(POINTERS)):  # ensembles before what they need
            with self.errors(f"does not unload {name}"):
                self._unload(name)

    def _unload(self, name: str) -> None:
        self.client.unload_model(name, headers=self._headers, client_timeout=self.load_timeout)

    def _ready(self) -> list[str]:
        with self.errors("does not list its models"):
            index = self.client.get_model_repository_index(headers=self._headers, client_timeout=self.call_timeout)
        return [model.name for model in index.models if model.state == "READY"]

    @contextlib.contextmanager
    def errors(self, what: str) -> Iterator[None]:
        from tritonclient.utils import InferenceServerException

        try:
            yield
        except InferenceServerException as error:
            lines = [line.strip() for line in str(error.message() or error.status()).splitlines() if line.strip()]
            raise ServingError(f"{self.url}: Triton {what}: {' '.join(lines)[:400] or 'no reason given'}") from error
