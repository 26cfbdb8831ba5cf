"""Every way in which the gateway says no, and what it says: one form, documented in OpenAPI."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from danqing.errors import DanqingError
from serving.client import wire


class Problem(BaseModel):
    """The body of every answer that is no success."""

    model_config = ConfigDict(extra="allow")

    code: str = Field(examples=["bad_input"])
    message: str = Field(description="One line: what is wrong, and what to do.")
    request_id: str
    field: str | None = Field(default=None, description="Which part of the request is meant.")
    rule: str | None = Field(default=None, description="Which rule of the policy applied.")
    reason_zh: str | None = Field(default=None, description="The message in Chinese, where a rule applied.")
    approval: str | None = Field(default=None, description="Id of the request to the consultant.")


class Declined(HTTPException):
    """A refusal. more: other fields of `Problem`."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(status, message)
        self.status, self.code, self.message, self.more = status, code, message, more


STATUSES = {
    400: "Something in the request makes no sense; `field` says what.",
    401: "An API key is needed.",
    403: "The policy refuses this prompt, or a consultant has to see it first.",
    404: "There is no such thing.",
    413: "The request or a picture in it is too large.",
    429: "Too many requests at once; try again after `Retry-After` seconds.",
    503: "The painter is not ready.",
    504: "No picture within the time allowed.",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`."""
    return {status: {"model": Problem, "description": STATUSES[status]} for status in statuses}


def explained(error: DanqingError) -> Declined:
    """What the painter raised, as an answer."""
    if isinstance(error, wire.Unreachable):
        return Declined(503, "not_ready", "the painter cannot be reached; try again later")
    if isinstance(error, wire.Overloaded):
        return Declined(429, "busy", "the painter's queue is full; try again later")
    if isinstance(error, wire.TooSlow):
        return Declined(504, "too_slow", "no picture within the time allowed; try again, or allow more time")
    if isinstance(error, wire.Refused):
        return Declined(400, "bad_input", error.reason, field=_field(error.reason))
    if type(error) is DanqingError:  # what the library says of prompts, seeds, pictures and masks
        return Declined(400, "bad_input", str(error), field=_field(str(error)))
    return Declined(503, "not_ready", "the painter failed; the server's log says why")


def _field(message: str) -> str:
    for word in ("seed", "guidance", "mask", "picture", "strength", "side", "temperature"):
        if message.startswith((f"the {word}", f"a {word}")):
            return word
    return "mask" if "marked part" in message else "prompt"
