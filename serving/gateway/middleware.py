"""Around every request: an id, a key, a limit to its size, a line in the log, a number in the metrics.

Plain ASGI: a body that is too large is refused while it arrives, not after it is in memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from serving.gateway import metrics
from serving.gateway.errors import Declined, Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("danqing.gateway")
_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
OPEN = ("/livez", "/readyz", "/healthz", "/")
"""Asked for by probes, which have no key, and by browsers, whose page asks for the key."""


def answer(declined: Declined, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of a refusal."""
    problem = Problem(code=declined.code, message=declined.message, request_id=request_id, **declined.more)
    headers = {"content-type": "application/json"}
    if declined.status in (429, 503):
        headers["retry-after"] = "1"
    if declined.status == 401:
        headers["www-authenticate"] = "Bearer"
    metrics.refusals.labels(reason=problem.rule or declined.code).inc()
    return declined.status, headers, problem.model_dump_json(exclude_none=True).encode()


class Gatekeeper:
    """Around the whole application. keys: SHA-256 of each API key → whose it is; empty asks for none."""

    def __init__(self, app: ASGIApp, *, keys: Mapping[str, str], max_bytes: int) -> None:
        self.app, self.keys, self.max_bytes = app, keys, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if _ID.match(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        start, status, taken = time.perf_counter(), 500, 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.max_bytes:
                raise _too_large(self.max_bytes)
            return message

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            state["caller"] = self._caller(scope["path"], headers)
            announced = headers.get("content-length", "")
            if announced.isdecimal() and int(announced) > self.max_bytes:
                raise _too_large(self.max_bytes)
            await self.app(scope, limited, told)
        except Declined as declined:
            await _send(told, answer(declined, request_id))
        finally:
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path", "other")
            metrics.requests.labels(route=route, status=str(status)).inc()
            metrics.seconds.labels(route=route).observe(seconds)
            log.info(json.dumps({"request": request_id, "route": route, "status": status, "ms": round(1e3 * seconds)}))

    def _caller(self, path: str, headers: Mapping[str, str]) -> str:
        """Whose key it is; "" where none is asked for."""
        if not self.keys or path in OPEN or path.startswith("/studio/"):
            return ""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            key = headers.get("x-api-key", "")
        # A digest is compared, not the key: how long a look-up takes tells nothing about it.
        digest = hashlib.sha256(key.encode()).hexdigest()
        if digest not in self.keys:
            raise Declined(401, "no_key", "an API key is needed: send Authorization: Bearer KEY")
        return self.keys[digest]


def _too_large(limit: int) -> Declined:
    return Declined(413, "too_large", f"the request is larger than {limit} bytes; send a smaller picture")


async def _send(send: Send, found: tuple[int, dict[str, str], bytes]) -> None:
    status, headers, body = found
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
