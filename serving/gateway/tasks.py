"""Long batches: many pictures in the background, in a database, so that a restart loses nothing.

A task is claimed for a minute at a time, picture by picture: of several gateways on one database one paints it, and
another takes it over if that one is gone.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, LargeBinary, create_engine, delete, func, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from danqing.paint import MAX_SEED
from serving.gateway.atelier import Atelier, Order
from serving.gateway.errors import Declined, documented


def _caller(request: Request) -> str:
    return str(request.state.caller)


Caller = Annotated[str, Depends(_caller)]
"""Whose key it is: everybody sees his own tasks only."""
LEASE = 60.0
"""Seconds after which a task whose gateway is gone is taken over."""


class Base(DeclarativeBase):
    pass


class Task(Base):
    __tablename__ = "gateway_tasks"

    id: Mapped[str] = mapped_column(primary_key=True)
    caller: Mapped[str]
    orders: Mapped[str]
    """JSON: [prompt, seed] of each picture; emptied when the task is done."""
    total: Mapped[int]
    created: Mapped[float]
    state: Mapped[str] = mapped_column(default="waiting", index=True)
    """waiting, running, done or cancelled."""
    lease: Mapped[float] = mapped_column(default=0.0)


class Piece(Base):
    """One picture of a task, or why there is none."""

    __tablename__ = "gateway_pictures"

    task: Mapped[str] = mapped_column(ForeignKey(Task.id, ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    seed: Mapped[int] = mapped_column(default=0)
    png: Mapped[bytes | None] = mapped_column(LargeBinary)
    problem: Mapped[str] = mapped_column(default="")


class Store:
    """url: SQLAlchemy's. All methods block: call them in a thread."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)
        Base.metadata.create_all(self.engine)

    def add(self, caller: str, orders: list[tuple[str, int]]) -> str:
        task = Task(id=str(uuid.uuid4()), caller=caller, orders=json.dumps(orders), total=len(orders),
                    created=time.time())  # fmt: skip
        with Session(self.engine) as session, session.begin():
            session.add(task)
            return task.id

    def status(self, task: str, caller: str) -> dict[str, Any] | None:
        """None where there is no such task of this caller."""
        with Session(self.engine) as session:
            found = session.get(Task, task)
            if found is None or found.caller != caller:
                return None
            of = select(func.count()).where(Piece.task == task)
            painted, failed = (session.scalar(of.where(test)) for test in (Piece.png.is_not(None), Piece.png.is_(None)))
            return {"id": task, "state": found.state, "total": found.total, "painted": painted, "failed": failed}

    def piece(self, task: str, number: int) -> tuple[bytes | None, str] | None:
        with Session(self.engine) as session:
            found = session.get(Piece, (task, number))
            return None if found is None else (found.png, found.problem)

    def cancel(self, task: str) -> None:
        with Session(self.engine) as session, session.begin():
            session.execute(update(Task).where(Task.id == task, Task.state.in_(("waiting", "running")))
                            .values(state="cancelled", orders="[]"))  # fmt: skip

    def claim(self) -> str | None:
        """A task that nobody paints now, for `LEASE` seconds; None where there is none."""
        with Session(self.engine) as session, session.begin():
            free = Task.state.in_(("waiting", "running")) & (Task.lease < time.time())
            task = session.scalar(select(Task.id).where(free).order_by(Task.created).limit(1))
            if task is None:
                return None
            taken = update(Task).where(Task.id == task, free).values(state="running", lease=time.time() + LEASE)
            return task if session.execute(taken).rowcount else None  # type: ignore[attr-defined]

    def next(self, task: str) -> tuple[int, str, int] | None:
        """Number, prompt and seed of the first picture that is missing; None where none is, or it was cancelled."""
        with Session(self.engine) as session, session.begin():
            found = session.get(Task, task)
            if found is None or found.state != "running":
                return None
            there = set(session.scalars(select(Piece.number).where(Piece.task == task)))
            for number, (prompt, seed) in enumerate(json.loads(found.orders)):
                if number not in there:
                    found.lease = time.time() + LEASE
                    return number, prompt, seed
            found.state, found.orders = "done", "[]"
            return None

    def put(self, task: str, number: int, seed: int, png: bytes | None, problem: str = "") -> None:
        with Session(self.engine) as session, session.begin():
            session.merge(Piece(task=task, number=number, seed=seed, png=png, problem=problem))

    def purge(self, older_than: float) -> None:
        """Forget the tasks made before that time, with their pictures."""
        with Session(self.engine) as session, session.begin():
            old = select(Task.id).where(Task.created < older_than)
            session.execute(delete(Piece).where(Piece.task.in_(old)))
            session.execute(delete(Task).where(Task.created < older_than))


class TaskRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, strict=True)

    prompts: Annotated[list[Annotated[str, Field(min_length=1, max_length=2000)]], Field(min_length=1, max_length=1000)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED // 2, description="Of the first picture; the others count on.")] = 0
    count: Annotated[int, Field(ge=1, le=1000, description="Pictures of each prompt.")] = 1


class TaskStatus(BaseModel):
    id: str
    state: str = Field(description="waiting, running, done or cancelled")
    total: int
    painted: int
    failed: int


class Worker:
    """Paints tasks, one picture at a time, behind everybody who waits for one."""

    def __init__(self, atelier: Atelier, store: Store, *, pause: float = 0.5) -> None:
        self.atelier, self.store, self.pause = atelier, store, pause

    async def run(self) -> None:
        """For ever; cancel it to stop. What it has begun is done again by whoever comes next."""
        while True:
            keep = self.atelier.settings.keep_hours * 3600
            await anyio.to_thread.run_sync(self.store.purge, time.time() - keep)
            task = await anyio.to_thread.run_sync(self.store.claim)
            while task and (due := await anyio.to_thread.run_sync(self.store.next, task)):
                await self._paint(task, *due)
            await asyncio.sleep(self.pause)

    async def _paint(self, task: str, number: int, prompt: str, seed: int) -> None:
        png, problem = None, ""
        try:
            painted = await self.atelier.paint(
                Order(prompt=prompt, seed=seed), timeout=self.atelier.settings.timeout, gated=False
            )
            png = painted.png
        except Declined as declined:
            if declined.status in (429, 503, 504):  # not the prompt's fault: later
                await asyncio.sleep(self.pause)
                return
            problem = declined.message
        await anyio.to_thread.run_sync(self.store.put, task, number, seed, png, problem)


def routes(atelier: Atelier, store: Store) -> APIRouter:
    router = APIRouter(tags=["tasks"])

    async def mine(task: uuid.UUID, caller: str) -> TaskStatus:
        found = await anyio.to_thread.run_sync(store.status, str(task), caller)
        if found is None:
            raise Declined(404, "not_found", f"there is no task {task}", field="task")
        return TaskStatus(**found)

    @router.post("/tasks", status_code=202, responses=documented(400, 401, 413))
    async def begin(caller: Caller, asked: TaskRequest) -> TaskStatus:
        """Paint many pictures in the background."""
        total, limit = len(asked.prompts) * asked.count, atelier.settings.max_task
        if total > limit:
            raise Declined(400, "bad_input", f"{total} pictures in one task, {limit} at most", field="count")
        wanted = [prompt for prompt in asked.prompts for _ in range(asked.count)]
        orders = [(prompt, asked.seed + number) for number, prompt in enumerate(wanted)]
        task = await anyio.to_thread.run_sync(store.add, caller, orders)
        return await mine(uuid.UUID(task), caller)

    @router.get("/tasks/{task}", responses=documented(400, 401, 404))
    async def progress(caller: Caller, task: uuid.UUID) -> TaskStatus:
        """How far it is."""
        return await mine(task, caller)

    @router.get("/tasks/{task}/pictures/{number}", response_class=Response,
                responses={200: {"content": {"image/png": {}}}, **documented(400, 401, 404)})  # fmt: skip
    async def picture(caller: Caller, task: uuid.UUID, number: Annotated[int, Path(ge=0, le=10**6)]) -> Response:
        """One of its pictures, from 0 on; 404 while there is none, and where there will be none."""
        await mine(task, caller)
        found = await anyio.to_thread.run_sync(store.piece, str(task), number)
        if found is None or found[0] is None:
            why = f": {found[1]}" if found else " yet"
            raise Declined(404, "not_found", f"there is no picture {number}{why}", field="number")
        return Response(found[0], media_type="image/png")

    @router.delete("/tasks/{task}", responses=documented(400, 401, 404))
    async def cancel(caller: Caller, task: uuid.UUID) -> TaskStatus:
        """Stop it. What is painted stays for a day."""
        await mine(task, caller)
        await anyio.to_thread.run_sync(store.cancel, str(task))
        return await mine(task, caller)

    return router
