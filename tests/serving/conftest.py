"""A real Triton on a real package: the model in the box where there is one, otherwise one made for the test."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_package

from danqing.package import MANIFEST
from danqing.paint import Painter, box
from serving.client import Danqing
from serving.triton.repository import build
from serving.triton.server import Server


@pytest.fixture(autouse=True, scope="module")
def _give_models_back() -> Iterator[None]:
    """Each application that a test makes holds a model; together they would fill the memory."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (box() / MANIFEST).is_file():
        return box()
    return tiny_package.make_box(tmp_path_factory.mktemp("package") / "box").folder


@pytest.fixture(scope="session")
def painter(package: Path) -> Painter:
    return Painter.load(package)


@pytest.fixture(scope="session")
def repository(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(package, tmp_path_factory.mktemp("repositories"))


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[Server]:
    with Server(repository, say=print) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Danqing]:
    with Danqing(server.url) as connected:
        yield connected


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
