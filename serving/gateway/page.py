"""The studio: a hand-made page over the routes of `app.py`. It loads nothing from anywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles

FOLDER = Path(__file__).parent / "studio"
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # the page and its modules change together: each is asked for anew, and is rarely sent
}


class _Files(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response


def serve(app: FastAPI) -> None:
    """The page at / and what it is made of below /studio. Needs no key: the page itself asks for it."""
    files = _Files(directory=FOLDER)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    app.mount("/studio", files, name="studio")
