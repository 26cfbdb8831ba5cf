"""Containers for tests; see `engine_parts`. `DANQING_TEST_STORAGE=DIR` keeps images between runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import engine_parts
import pytest
from engine_parts import Engine, Images


@pytest.fixture(scope="session")
def _common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run see."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def podman(_common: Path) -> Iterator[Engine]:
    """Podman with a storage that nobody else uses. Never skipped in CI."""
    why = engine_parts.missing()
    if why and not os.environ.get("CI"):
        pytest.skip(f"containers cannot be run here: {why}")
    assert not why, f"CI must run containers: {why}"
    with engine_parts.shared_storage(_common) as engine:
        yield engine


@pytest.fixture(scope="session")
def base(podman: Engine) -> str:
    """The image that the Dockerfiles' first line is replaced with."""
    return engine_parts.make_base(podman)


@pytest.fixture(scope="session")
def images(podman: Engine, base: str, _common: Path) -> Images:
    """`images["cpu"]` is the name of that image; all four are built when one is first asked for."""
    return Images(podman, base, _common)


@pytest.fixture(scope="session")
def service(podman: Engine) -> Iterator[str]:
    """An address for DOCKER_HOST."""
    with podman.service() as address:
        yield address
