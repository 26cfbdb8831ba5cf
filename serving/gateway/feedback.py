"""Thumbs up and down: every picture has an id that says, sealed, which model painted it; votes are counted by model."""

from __future__ import annotations

import hmac
import re
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated

import anyio.to_thread
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from danqing.provenance.origin import derive
from serving.gateway.errors import Declined, documented

if TYPE_CHECKING:
    from serving.gateway.observing import Observer

_ID = re.compile(r"([0-9a-f]{16})([0-9a-f]{32})-([ -~]{1,200})")
REMEMBERED = 10_000
"""Pictures whose vote is known to be in; of older ones, and in other gateways, a second vote counts."""


class Seal:
    """secret: the deployment's; without one an id is known only to the process that gave it."""

    def __init__(self, secret: bytes = b"") -> None:
        self._key = derive(secret, "feedback") or secrets.token_bytes(32)

    def _mac(self, nonce: str, model: str) -> str:
        return hmac.digest(self._key, f"{nonce}{model}".encode(), "sha256").hex()[:32]

    def give(self, model: str) -> str:
        """A new picture's id."""
        model = model if model.isascii() and model.isprintable() else "unknown"
        nonce = secrets.token_hex(8)
        return f"{nonce}{self._mac(nonce, model)}-{model}"

    def model(self, picture: str) -> str | None:
        """Which model painted it; None where this gateway, or one with its secret, did not give that id."""
        match = _ID.fullmatch(picture)
        if match is None or not hmac.compare_digest(self._mac(match[1], match[3]), match[2]):
            return None
        return match[3]


class Vote(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    picture: Annotated[str, Field(min_length=1, max_length=300, description="Its `id`, or header x-danqing-picture.")]
    good: bool


class Counted(BaseModel):
    counted: bool = Field(description="False where this picture has had its vote.")


def routes(observer: Observer, seal: Seal) -> APIRouter:
    router = APIRouter(tags=["about"])
    voted: OrderedDict[str, None] = OrderedDict()

    @router.post("/feedback", responses=documented(400, 401, 404, 413))
    async def feedback(vote: Vote) -> Counted:
        """Say whether a picture is good. Counted by the model that painted it; nothing else is kept."""
        model = seal.model(vote.picture)
        if model is None:
            raise Declined(404, "not_found", "no picture of this gateway has that id", field="picture")
        if vote.picture in voted:
            return Counted(counted=False)
        voted[vote.picture] = None
        if len(voted) > REMEMBERED:
            voted.popitem(last=False)
        await anyio.to_thread.run_sync(observer.vote, model, vote.good)
        return Counted(counted=True)

    return router
