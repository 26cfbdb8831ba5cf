"""The gateway as a BentoML service: `bentoml serve serving.gateway.service:Gateway`, or `danqing gateway`.

BentoML brings the workers, /livez, /readyz and /metrics; `app.py` brings the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import bentoml
from fastapi import FastAPI

from danqing.package import workspace
from danqing.provenance import read_secret
from serving.gateway import feedback, tasks
from serving.gateway.app import create
from serving.gateway.atelier import Atelier
from serving.gateway.backend import backend
from serving.gateway.feedback import Seal
from serving.gateway.judging import Judge
from serving.gateway.observing import Observer
from serving.gateway.settings import Settings
from serving.gateway.stamping import stamping
from serving.gateway.works import KnownWorks
from serving.guard import Guard
from serving.guard.approvals import Approvals


def database(settings: Settings) -> str:
    if settings.database:
        return settings.database
    folder = workspace().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'gateway.db'}"


def _path(name: str) -> Path | None:
    return Path(name) if name else None


def assemble(settings: Settings) -> tuple[FastAPI, Atelier]:
    """The application, with a worker for tasks that lives as long as it does."""
    guard = Guard.load(Path(settings.policy) if settings.policy else None) if settings.guarded else None
    judge = Judge(guard, Approvals(settings.database or None) if guard is not None else None)
    policy = guard.version if guard is not None else ""
    observer = Observer(_path(settings.records), keep_days=settings.record_days, report=_path(settings.drift))
    seal = Seal(read_secret(_path(settings.secret)))
    atelier = Atelier(
        settings, backend(settings), judge, stamping(settings, policy), KnownWorks(settings.model), observer, seal
    )
    store = tasks.Store(database(settings))
    app = create(atelier, tasks.routes(atelier, store), feedback.routes(observer, seal))
    inner = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        workers = [asyncio.create_task(tasks.Worker(atelier, store).run()), asyncio.create_task(observer.run())]
        async with inner(app):
            yield
        for worker in workers:
            while not worker.done():  # a library on the way may swallow a cancellation: the next one finds it elsewhere
                worker.cancel()
                await asyncio.wait([worker], timeout=1)
        observer.flush()

    app.router.lifespan_context = lifespan
    return app, atelier


def _log_lines() -> None:
    """One line of JSON a request, on standard error; no prompt ever stands in it."""
    log = logging.getLogger("danqing.gateway")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter('{"at": "%(asctime)s", "log": %(message)s}'))
    log.handlers, log.propagate, log.level = [handler], False, logging.INFO


_log_lines()
APP, ATELIER = assemble(Settings.read())


# Its own access log names no request and would say everything twice.
@bentoml.service(name="danqing", traffic={"timeout": 120}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(APP)
class Gateway:
    async def __is_ready__(self) -> bool:
        """Ready while the painter is: a gateway without one is taken out of the rotation, not restarted."""
        return await ATELIER.backend.ready()
