"""A real gateway and a real browser. They live as long as a module: Playwright's loop would be in others' way."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

from danqing.paint import box
from serving.gateway.atelier import Atelier
from serving.gateway.service import assemble
from serving.gateway.settings import Settings

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


class Gateway:
    """By uvicorn in a thread, on a port that was free."""

    def __init__(self, settings: Settings) -> None:
        self.atelier: Atelier
        app, self.atelier = assemble(settings)
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Gateway:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the gateway did not start"
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Gateway]]:
    """start(**settings): one more gateway, with the model in the box."""
    with contextlib.ExitStack() as running:

        def started(**settings: str) -> Gateway:
            database = tmp_path_factory.mktemp("gateway") / "gateway.db"
            return running.enter_context(
                Gateway(Settings(model=str(box()), database=f"sqlite:///{database}", **settings))
            )

        yield started


@pytest.fixture(scope="module")
def gateway(start: Callable[..., Gateway]) -> Gateway:
    return start()


@pytest.fixture(scope="module")
def browser():
    if not Path(CHROMIUM).is_file():
        pytest.skip(f"no Chromium at {CHROMIUM}: the studio is not tried out (apt-get install chromium)")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        except Error as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"Chromium does not start: {str(error).splitlines()[0]}")
        yield started
        started.close()


@pytest.fixture
def studio(browser, gateway) -> Iterator[Callable]:
    """studio("zh") is the page in a fresh browser of that language, its words there. Fails where a script failed."""
    contexts, wrong = [], []

    def opened(language="en", view="", width=1280, height=900, url=gateway.url, **options):
        locale = {"en": "en-GB", "zh": "zh-CN"}[language]
        context = browser.new_context(locale=locale, viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(error))
        page.on("console", lambda said: "Content Security Policy" in said.text and wrong.append(said.text))
        page.goto(f"{url}/#{view}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go."""
    return tmp_path_factory.mktemp("studio")
