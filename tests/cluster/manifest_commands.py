"""Whether what containers are told to run is there, and knows the options that it is given."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from manifest_parts import ROOT, Doc, Pod, pods
from services import POSTGRES, WEED

from serving.gateway.settings import PREFIX, Settings

_TOOLS = {"grep", "sh", "sleep", "test"}
"""Of the base images."""


def commands(docs: list[Doc]) -> Iterator[str]:
    for pod in pods(docs):
        for container in pod.containers():
            where = f"{pod.where}: {container['name']}"
            command = container.get("command") or []
            if command:  # else the image's own
                yield from _command(where, command + (container.get("args") or []), pod, docs)
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                action = ((container.get(probe) or {}).get("exec") or {}).get("command") or ["sh"]
                if action[0] not in _TOOLS and action[0] != "pg_isready":
                    yield f"{where}: {probe} runs {action[0]}, which is no tool of the base images"


def _command(where: str, words: list[str], pod: Pod, docs: list[Doc]) -> Iterator[str]:
    if words[:2] == ["sh", "-c"]:  # sh -c '… PROGRAM "$@"' NAME OPTION…
        program = re.search(r'(\S+) "\$@"', words[2])
        words = [program[1] if program else words[2], *words[4:]]
    if words[0] == "python" and words[1] != "-m":
        name = Path(words[1]).name
        maps = {v["configMap"]["name"] for v in pod.spec["volumes"] if "configMap" in v}
        if not any(d["kind"] == "ConfigMap" and d["metadata"]["name"] in maps and name in d["data"] for d in docs):
            yield f"{where}: no ConfigMap that is mounted has {name}"
        return
    if words[:2] == ["python", "-m"] and not _is_there(words[2]):
        yield f"{where}: there is no module {words[2]}"
        return
    program, options = _split(words)
    text = help_of(program)
    if text is None or "No such command" in text:
        yield f"{where}: {' '.join(program)} is not known"
        return
    known = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w.-]*", text))
    for option in options:
        if option.startswith("-") and option.partition("=")[0] not in known:
            yield f"{where}: {' '.join(program)} has no option {option}"


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _split(words: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The program with its subcommand, and what follows."""
    if words[:2] == ["python", "-m"]:
        count = 4 if words[2] == "danqing.platform.backup" else 3
    else:
        count = {"danqing": 2, "weed": 2, "mlflow": 3}.get(words[0], 1)
    return tuple(words[:count]), words[count:]


@cache
def help_of(program: tuple[str, ...]) -> str | None:
    """What a program says of its options; empty, so that nothing is known, where it refuses the subcommand."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"}
    if program[0] == "python":
        command = [sys.executable, *program[1:], "--help"]
    elif program[0] == "mlflow":
        command = [sys.executable, "-W", "ignore", "-m", *program, "--help"]
    elif program[0] == "danqing":
        command = [sys.executable, "-c", "from danqing.cli import app; app()", *program[1:], "--help"]
    elif program[0] in ("pg_dump", "psql") and POSTGRES is not None:
        command = [str(POSTGRES / program[0]), "--help"]
    elif program[0] == "weed" and WEED.is_file():
        command = [str(WEED), "help", *program[1:]]
    elif program[0] == "tritonserver":
        from serving.triton import install

        found = install.ensure(print)
        environment["LD_LIBRARY_PATH"] = f"{sysconfig.get_config_var('LIBDIR')}:{found.libraries}"
        command = [str(found.server), "--help"]
    else:
        return None
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done.stdout + done.stderr


def gateway_settings(docs: list[Doc]) -> Iterator[str]:
    """Variables of the gateway are settings that it has, with values that it takes."""
    for pod in pods(docs):
        for container in pod.containers():
            own = {
                e["name"]: str(e.get("value", "x")) for e in container.get("env") or [] if e["name"].startswith(PREFIX)
            }
            try:
                if own:
                    Settings.read({**own, f"{PREFIX}HOST": "0.0.0.0"})
            except Exception as error:
                yield f"{pod.where}: {container['name']}: {error}"


COMMANDS = (commands, gateway_settings)
