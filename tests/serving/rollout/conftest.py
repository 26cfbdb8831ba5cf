"""A real Triton under control, real registries with three models in them, and a caller who checks every picture."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny_package
from rollout_parts import PROMPT, SECRET, Caller, Listening, Registry, whose

from danqing.paint import Painter
from serving.client import Danqing
from serving.rollout.settings import Rollout
from serving.triton.server import Server


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Three models that paint different pictures; the number is that of their version in `registry_of_three`."""
    root = tmp_path_factory.mktemp("packages")
    return {n: tiny_package.make(root / str(n), tiny_package.weights(n)).folder for n in (1, 2, 3)}


@pytest.fixture(scope="session")
def painters(packages: dict[int, Path]) -> dict[int, Painter]:
    return {number: Painter.load(folder, threads=1) for number, folder in packages.items()}


@pytest.fixture(scope="session")
def _filled(packages: dict[int, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("registry")
    filled = Registry(f"sqlite:///{root / 'mlflow.db'}")
    for package in packages.values():
        filled.register(package, tmp_path_factory.mktemp("step"))
    return root / "mlflow.db"


@pytest.fixture
def owned(_filled: Path, tmp_path: Path) -> Registry:
    """A registry of this test's own, with the versions 1, 2, 3 and no champion yet."""
    shutil.copyfile(_filled, tmp_path / "mlflow.db")
    return Registry(f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A Triton under control and the store that it reads; what is in it depends on the tests before."""
    store = tmp_path_factory.mktemp("store")
    (store / "models").mkdir()
    with Server(store / "models", secret=SECRET) as server:
        yield server, store


@pytest.fixture
def control(served: tuple[Server, Path], owned: Registry, tmp_path: Path) -> Callable[..., Listening]:
    """control(**changes): a controller for that Triton and this test's registry; its lines are in `.lines`."""

    def make(**changes: object) -> Listening:
        server, store = served
        values = {"tracking": owned.uri, "store": store, "triton": server.url, "secret": SECRET, "interval": 0.05}
        return Listening(Rollout(**(values | {"status": tmp_path / "status.json"} | changes)))

    return make


@pytest.fixture
def caller(served: tuple[Server, Path], painters: dict[int, Painter]) -> Callable[[], Caller]:
    return lambda: Caller(served[0].url, painters)


@pytest.fixture
def survived(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """survived(fault, caller, *errors): its callers met nothing else; a row of the table that ends the test run."""

    def tell(fault: str, caller: Caller, *errors: type[Exception]) -> None:
        record_property("fault", {"fault": fault, **caller.check(*errors)})

    return tell


@pytest.fixture
def now(served: tuple[Server, Path], painters: dict[int, Painter]) -> Callable[[], int | None]:
    """now(): the number of the version that a caller gets."""

    def ask() -> int | None:
        with Danqing(served[0].url) as client:
            return whose(client.paint(PROMPT, seed=5), 5, painters)

    return ask


@pytest.fixture
def running() -> Iterator[Callable[[Listening], None]]:
    """running(controller): its loop, in a thread, until the test ends."""
    stop, threads = threading.Event(), []

    def start(controller: Listening) -> None:
        threads.append(threading.Thread(target=controller.run, args=(stop,)))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()
