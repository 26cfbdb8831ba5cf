"""Runs the controller until it is told to stop: alone beside a Triton, or together with one on a laptop."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from danqing.errors import ServingError
from serving.rollout.controller import Controller
from serving.rollout.settings import Rollout
from serving.triton.server import GRPC, HTTP, METRICS, Server

Say = Callable[[str], None]


def aloud(line: str) -> None:
    print(line, flush=True)


def follow(settings: Rollout, say: Say = aloud) -> None:
    """Follow the registry for a Triton that runs, until Ctrl-C or SIGTERM."""
    stop = threading.Event()
    with _until_told(say, stop):
        _patience()
        Controller(settings, say).run(stop)


def serve(
    settings: Rollout,
    *,
    host: str = "127.0.0.1",
    http: int = HTTP,
    grpc: int = GRPC,
    metrics: int = METRICS,
    log: Path | None = None,
    say: Say = aloud,
) -> None:
    """Start a Triton, and follow the registry for it, until Ctrl-C or SIGTERM; its address and secret are made here.

    Raises ServingError when the server cannot be started, or ends by itself.
    """
    _patience()
    models = settings.store / "models"
    models.mkdir(parents=True, exist_ok=True)
    secret, stop = secrets.token_hex(16), threading.Event()
    server = Server(models, host=host, http=http, grpc=grpc, metrics=metrics, say=say, log=log, secret=secret)
    with _until_told(say, stop), server:
        controller = Controller(replace(settings, triton=server.url, secret=secret), say)
        threading.Thread(target=controller.run, args=(stop,), daemon=True).start()
        say(f"gRPC {server.url}, HTTP {server.http_url}, metrics {server.metrics_url}; Ctrl-C stops it")
        status = server.watch()
        raise ServingError(f"tritonserver ended with status {status}: {server.last_lines()}")


@contextlib.contextmanager
def _until_told(say: Say, stop: threading.Event) -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C inside into the end of the block, and into `stop`."""

    def leave(number: int, frame: object) -> None:
        stop.set()  # a library that swallows the exception does not keep the loop alive
        raise KeyboardInterrupt

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)
    say("stopped")


def _patience() -> None:
    """How long the registry may take for an answer, where the user has not said so."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # the controller says itself that it is away, once
