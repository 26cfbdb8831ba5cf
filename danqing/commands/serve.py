"""`danqing serve`: a real Triton on the champion's package."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path


def serve_command(
    package: Path | None = None,
    host: str = "127.0.0.1",
    http: int = 8000,
    grpc: int = 8001,
    metrics: int = 8002,
    log: Path | None = None,
) -> None:
    """Serve until Ctrl-C. package: None takes the champion, else the model in the box. log: file for Triton's lines."""
    from serving.triton.server import serve

    if package is None:
        _ask_the_registry()
    serve(package, host=host, http=http, grpc=grpc, metrics=metrics, log=log, say=lambda line: print(line, flush=True))


def plan_command(package: Path | None, plan: Path, say: Callable[[str], None] = print) -> None:
    """Build the repository whose graphs are TensorRT plans, and say how it is served.

    The tritonserver that is fetched for laptops has no TensorRT, NVIDIA's image has. plan: a folder, from
    `danqing plan` on this machine. Raises ServingError on a plan for another GPU, TensorRT or package.
    """
    from danqing.package import champion
    from serving.triton import install
    from serving.triton.repository import build
    from serving.triton.server import docker_line

    repository = build(champion() if package is None else package, install.cache() / "repositories", plan=plan)
    say(f"{repository} has the plans; serve it by NVIDIA's image:\n{docker_line(repository)}")


def follow_command(
    package: Path | None = None,
    tracking: str = "",
    host: str = "127.0.0.1",
    http: int = 8000,
    grpc: int = 8001,
    metrics: int = 8002,
    log: Path | None = None,
) -> None:
    """Serve what the alias `champion` points to, and go on following it, until Ctrl-C.

    package: served while there is no champion; None takes the model in the box. tracking: the registry's address;
    the workspace's own if empty. Without MLflow it serves as `serve_command` does.
    """
    if importlib.util.find_spec("mlflow") is None:
        print("there is no MLflow here (pip install 'danqing[pipeline]'): nothing is followed", flush=True)
        return serve_command(package, host=host, http=http, grpc=grpc, metrics=metrics, log=log)
    from danqing.package import workspace
    from danqing.platform import tracking as mlflow
    from danqing.pretrained import box
    from serving.rollout.follow import serve
    from serving.rollout.settings import Rollout

    settings = Rollout(
        tracking=tracking or mlflow.default_uri(), store=workspace() / "serving", fallback=package or box()
    )
    serve(settings, host=host, http=http, grpc=grpc, metrics=metrics, log=log)


def _ask_the_registry() -> None:
    """The alias may have been moved in MLflow's pages since the last run; without an answer the last champion stays."""
    from danqing.errors import DanqingError
    from danqing.package import workspace

    known = "MLFLOW_TRACKING_URI" in os.environ or (workspace() / "champion.json").is_file()
    if not known or importlib.util.find_spec("mlflow") is None:
        return
    from danqing.platform import registry

    try:
        registry.point()
    except DanqingError as error:
        print(f"the registry does not answer, the last known champion is served: {error}", flush=True)
