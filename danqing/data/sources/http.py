"""Asking other people's servers: slowly, patiently, with a name, and never more than was agreed.

One request at a time, at most `rate` a second; a server that is busy is asked again after the time it names
(Retry-After) or after a growing pause; a body that is longer than allowed is not read to its end.
"""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable
from typing import Any

import httpx

from danqing import __version__

USER_AGENT = f"danqing/{__version__} (open-access painting corpus; one request at a time)"
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is left alone for now."""
LARGEST_JSON = 50_000_000
"""Bytes."""


class Unavailable(Exception):
    """The server could not be had after all tries: worth trying again another day."""


class TooLarge(Exception):
    """A body is longer than allowed."""


class Http:
    def __init__(
        self, *, rate: float, timeout: float, tries: int, backoff: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._pause, self._tries, self._backoff, self._sleep = 1 / rate, tries, backoff, sleep
        self._next = 0.0
        self._jitter = random.Random(0)
        self._client = httpx.Client(
            timeout=timeout, follow_redirects=True,
            headers={"User-Agent": USER_AGENT, "AIC-User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        )  # fmt: skip

    def close(self) -> None:
        self._client.close()

    def json(self, url: str, parameters: dict[str, Any], absent: bool = False) -> dict[str, Any]:
        """A JSON object; {} for a 404 where `absent` allows it. Raises Unavailable."""
        import json

        def parse(body: bytes) -> dict[str, Any]:
            value = json.loads(body)
            if not isinstance(value, dict):
                raise ValueError("no JSON object")
            return value

        try:
            return self._ask(url, parameters, LARGEST_JSON, parse, {} if absent else None)  # type: ignore[no-any-return]
        except TooLarge as error:
            raise Unavailable(f"{url}: the answer is too large ({error})") from None

    def body(self, url: str, most: int) -> bytes:
        """A body of at most `most` bytes; b"" where there is none (404). Raises Unavailable, TooLarge."""
        if not url.startswith(("http://", "https://")):
            return b""
        return self._ask(url, {}, most, bytes, b"")  # type: ignore[no-any-return]

    def _ask(self, url: str, parameters: dict[str, Any], most: int, parse: Callable[[bytes], Any], missing: Any) -> Any:
        reason = ""
        for attempt in range(self._tries):
            wait = self._backoff * 2**attempt * (1 + 0.25 * self._jitter.random())
            try:
                self._wait_for_turn()
                with self._client.stream("GET", url, params=parameters or None) as answer:
                    if answer.status_code == 200:
                        return parse(self._read(answer, most))
                    reason = f"HTTP {answer.status_code}"
                    if answer.status_code in (404, 410) and missing is not None:
                        return missing
                    if answer.status_code not in AGAIN:
                        break
                    wait = self._asked_for(answer, wait)
            except (httpx.RequestError, httpx.InvalidURL) as error:
                reason = str(error) or type(error).__name__
            except ValueError as error:  # an error page instead of JSON
                reason = f"the answer is no JSON ({error})"
            if wait > LONGEST_WAIT:
                reason += f", and it asks to wait {wait:.0f} s"
                break
            if attempt + 1 < self._tries:
                self._sleep(wait)
        raise Unavailable(f"{url}: {reason} after {attempt + 1} tries")

    def _wait_for_turn(self) -> None:
        now = time.monotonic()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._pause

    @staticmethod
    def _read(answer: httpx.Response, most: int) -> bytes:
        promised = answer.headers.get("Content-Length", "")
        if promised.isdigit() and int(promised) > most:
            raise TooLarge(f"{promised} bytes are more than max_bytes = {most}")
        body = bytearray()
        for block in answer.iter_bytes():
            body += block
            if len(body) > most:
                raise TooLarge(f"more than max_bytes = {most} bytes")
        return bytes(body)

    @staticmethod
    def _asked_for(answer: httpx.Response, otherwise: float) -> float:
        """Seconds that the server asks to wait: a number or a date."""
        asked = answer.headers.get("Retry-After", "").strip()
        if asked.isdigit():
            return float(asked)
        when = email.utils.parsedate_to_datetime(asked) if asked else None
        return max(0.0, when.timestamp() - time.time()) if when is not None else otherwise
