"""The gateway's routes, as an ASGI application: `service.py` puts it into BentoML, tests call it as it is."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, FastAPI, File, Form, Header, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

import danqing
from danqing import provenance, taxonomy
from danqing.errors import DataError
from danqing.paint import MAX_SEED
from serving.client import Step
from serving.gateway import middleware, page, pictures
from serving.gateway.atelier import Atelier, Order, Painted, jpeg
from serving.gateway.errors import Declined, documented

_FILE = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
PNG: dict[int | str, dict[str, Any]] = {200: {"content": _FILE, "description": "The picture, with its origin inside."}}

Prompt = Annotated[str, Field(min_length=1, max_length=2000, examples=["孤舟，远山，写意", "a lone boat, freehand"])]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, description="The same prompt, seed and guidance give the same picture.")]
Guidance = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False, description="How closely the words are followed.")]
Scale = Annotated[int, Field(ge=1, le=16, description="How much larger than painted; at least 512 px if not given.")]
Within = Annotated[float | None, Header(alias="Request-Timeout", gt=0, allow_inf_nan=False, description="Seconds.")]
Picture = Annotated[UploadFile, File(description="PNG, JPEG, WebP or TIFF.")]
FormPrompt = Annotated[str, Form(min_length=1, max_length=2000)]
FormSeed = Annotated[int | None, Form(ge=0, le=MAX_SEED)]


class PaintRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, strict=True)

    prompt: Prompt
    seed: Seed | None = None
    count: Annotated[int, Field(ge=1, le=64, description="Pictures, with seeds from `seed` on.")] = 1
    guidance: Guidance | None = None
    scale: Scale | None = None


class NearWork(BaseModel):
    id: str
    title: str
    institution: str
    licence: str
    source_url: str
    similarity: float


class PaintedPicture(BaseModel):
    id: str = Field(description="For /feedback.")
    png: str = Field(description="base64")
    seed: int
    model: str
    note: str = Field(default="", description="What was changed about the prompt, and why.")
    nearest: list[NearWork] = Field(default=[], description="Works of the training that it is most like.")


class PaintedPictures(BaseModel):
    pictures: list[PaintedPicture]


class Layer(BaseModel):
    name: str
    state: str = Field(description="intact, untrusted, tampered or absent")
    why: str
    fields: dict[str, str]


class Inspection(BaseModel):
    format: str
    width: int
    height: int
    verdict: str = Field(description="The worst of the layers that are there.")
    summary: str
    layers: list[Layer]


class Word(BaseModel):
    en: str
    zh: str


def create(atelier: Atelier, *extra: APIRouter) -> FastAPI:
    """The application; its middleware asks for keys and limits as `atelier.settings` says. extra: more routes."""
    settings = atelier.settings
    secret = provenance.read_secret(Path(settings.secret) if settings.secret else None)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await atelier.backend.close()

    app = FastAPI(
        title="danqing", version=danqing.__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Sentences to traditional Chinese paintings. Every picture carries its origin.",
    )  # fmt: skip
    app.add_middleware(middleware.Gatekeeper, keys=settings.keys(), max_bytes=settings.max_bytes)  # type: ignore[arg-type]
    _say_no_in_one_form(app)

    def limit(asked: float | None) -> float:
        return settings.timeout if asked is None else min(asked, settings.timeout)

    @app.post(
        "/paint", response_model=PaintedPictures, tags=["paint"],
        responses={**PNG, **documented(400, 401, 403, 413, 429, 503, 504)},
    )  # fmt: skip
    async def paint(request: Request, asked: PaintRequest, within: Within = None) -> Any:
        """Paint one picture (image/png), or as many as `count` says (application/json, base64), as Accept asks."""
        if asked.count > settings.max_pictures:
            raise Declined(400, "bad_input", f"{asked.count} pictures at once, {settings.max_pictures} at most; "
                           "use /tasks for more", field="count")  # fmt: skip
        wants_json = asked.count > 1 or "application/json" in request.headers.get("accept", "")
        found = []
        for number in range(asked.count):
            seed = None if asked.seed is None else min(asked.seed + number, MAX_SEED)
            order = Order(prompt=asked.prompt, seed=seed, guidance=asked.guidance, scale=asked.scale)
            found.append(await atelier.paint(order, timeout=limit(within)))
        return PaintedPictures(pictures=[_encoded(p) for p in found]) if wants_json else _png(found[0])

    @app.post(
        "/preview", tags=["paint"], response_class=StreamingResponse,
        responses={200: {"content": {"application/x-ndjson": {}}, "description": "A line of JSON for every step."},
                   **documented(400, 401, 403, 413, 429, 503, 504)},
    )  # fmt: skip
    async def preview(asked: PaintRequest, within: Within = None) -> Any:
        """Paint and show it: `{step, steps, jpeg}` for every step of decoding, at last `{picture: …}` as /paint has it.

        What goes wrong after the first line is its last line, `{problem: …}`.
        """
        order = Order(prompt=asked.prompt, seed=asked.seed, guidance=asked.guidance, scale=asked.scale)
        stream = atelier.preview(order, timeout=limit(within))
        first = await anext(stream)  # what is refused is refused before the answer begins

        async def lines() -> AsyncIterator[str]:
            yield _line(first)
            try:
                async for item in stream:
                    yield _line(item)
            except Declined as declined:
                yield json.dumps({"problem": {"code": declined.code, "message": declined.message}}) + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    edited: dict[str, Any] = {"tags": ["paint"], "response_class": Response,
                              "responses": {**PNG, **documented(400, 401, 403, 413, 429, 503, 504)}}  # fmt: skip

    @app.post("/restore", **edited)
    async def restore(
        picture: Picture, mask: Picture, prompt: FormPrompt = "a Chinese painting", seed: FormSeed = None
    ) -> Any:
        """Paint what is missing: where the mask, a picture of the same size, is white. The rest stays byte for byte."""
        original = await pictures.read(picture, "picture", settings.max_pixels)
        hole = await pictures.read_mask(mask, original, settings.max_pixels)
        return _png(await atelier.edit(original, Order(prompt=prompt, seed=seed), hole=hole, restoring=True))

    @app.post("/edit", **edited)
    async def edit(
        picture: Picture,
        prompt: FormPrompt,
        mask: Annotated[UploadFile | None, File(description="Replace what is white in it.")] = None,
        box: Annotated[str, Form(max_length=100, description="Replace x0,y0,x1,y1, in shares of the picture.")] = "",
        extend: Annotated[str, Form(pattern="^(|left|right|up|down)$", description="Let the scene go on there.")] = "",
        strength: Annotated[float | None, Form(gt=0, le=1, description="Change all a little or much.")] = None,
        seed: FormSeed = None,
        guidance: Annotated[float | None, Form(ge=0, le=100, allow_inf_nan=False)] = None,
    ) -> Any:
        """Replace an element, let the scene go on, or change the manner: one of mask, box, extend and strength."""
        given = [name for name, value in (("mask", mask), ("box", box), ("extend", extend), ("strength", strength))
                 if value]  # fmt: skip
        if len(given) != 1:
            raise Declined(400, "bad_input", f"{' and '.join(given) or 'nothing'} given: say where to paint by one of "
                           "mask, box, extend or strength", field=given[-1] if given else "mask")  # fmt: skip
        original = await pictures.read(picture, "picture", settings.max_pixels)
        hole = await pictures.read_mask(mask, original, settings.max_pixels) if mask else None
        if box:
            hole = pictures.read_box(box, original)
        order = Order(prompt=prompt, seed=seed, guidance=guidance)
        return _png(await atelier.edit(original, order, hole=hole, extend=extend, strength=strength))

    @app.post("/inspect", tags=["about"], responses=documented(400, 401, 413))
    async def inspect(picture: Picture) -> Inspection:
        """Where a picture comes from, layer by layer, and what was tampered with."""
        data = await picture.read()
        try:
            found = await anyio.to_thread.run_sync(functools.partial(provenance.inspect, data, secret=secret))
        except DataError as error:
            raise Declined(400, "bad_input", f"picture: {error}", field="picture") from None
        return Inspection(**found.as_dict())

    @app.get("/styles", tags=["about"], responses=documented(401))
    async def styles() -> dict[str, list[Word]]:
        """The words that the painter knows best, in English and Chinese."""
        tables = {"elements": taxonomy.ELEMENTS, "categories": taxonomy.CATEGORIES, "techniques": taxonomy.TECHNIQUES,
                  "seasons": taxonomy.SEASONS, "palettes": taxonomy.PALETTES, "places": taxonomy.PLACES}  # fmt: skip
        return {name: [Word(en=t.en, zh=t.zh) for t in table.values()] for name, table in tables.items()}

    for route in extra:
        app.include_router(route)

    page.serve(app)
    _document_only_what_is_said(app)
    return app


def _png(painted: Painted) -> Response:
    headers = {"x-danqing-seed": str(painted.seed), "x-danqing-model": painted.model,
               "x-danqing-picture": painted.id}  # fmt: skip
    if painted.note:
        headers["x-danqing-note"] = painted.note.encode("ascii", "xmlcharrefreplace").decode()
    return Response(painted.png, media_type="image/png", headers=headers)


def _encoded(painted: Painted) -> PaintedPicture:
    png = base64.b64encode(painted.png).decode()
    nearest = [
        NearWork(id=n.work.id, title=n.work.title, institution=n.work.institution, licence=n.work.licence,
                 source_url=n.work.url, similarity=round(n.similarity, 3)) for n in painted.nearest
    ]  # fmt: skip
    return PaintedPicture(
        id=painted.id, png=png, seed=painted.seed, model=painted.model, note=painted.note, nearest=nearest
    )


def _line(item: Step | Painted) -> str:
    if isinstance(item, Painted):
        return json.dumps({"picture": _encoded(item).model_dump()}) + "\n"
    frame = base64.b64encode(jpeg(item.picture)).decode()
    return json.dumps({"step": item.number, "steps": item.steps, "jpeg": frame}) + "\n"


def _say_no_in_one_form(app: FastAPI) -> None:
    """FastAPI's own refusals in the form of ours: 400 with the field, not 422 with a tree."""

    def reply(request: Request, declined: Declined) -> Response:
        status, headers, body = middleware.answer(declined, request.state.request_id)
        return Response(body, status, headers)

    @app.exception_handler(Declined)
    async def declined(request: Request, error: Declined) -> Response:
        return reply(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"] if part not in ("body", "query", "header", "path")]
        field = ".".join(place) or "body"
        return reply(request, Declined(400, "bad_input", f"{field}: {first['msg'].lower()}", field=field))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "not_allowed"}.get(error.status_code, "bad_input")
        status = error.status_code if error.status_code in (404, 405) else 400
        return reply(request, Declined(status, code, str(error.detail).lower()))


def _document_only_what_is_said(app: FastAPI) -> None:
    """FastAPI writes 422 into the document of every route; nobody ever gets one."""
    made = app.openapi()
    for operations in made["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        made["components"]["schemas"].pop(name, None)
