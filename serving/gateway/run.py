"""`danqing gateway`: BentoML on this machine, with what the command line says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from danqing.errors import ServingError
from danqing.pretrained import box
from serving.gateway.settings import PREFIX, Settings

SERVICE = "serving.gateway.service:Gateway"


def command(settings: Settings) -> tuple[list[str], dict[str, str]]:
    """What to start, and its environment."""
    # The service is found from where it lies, wherever this is called.
    root = str(box().parent if box().name == "pretrained" else Path(__file__).parents[2])
    environment = {
        **os.environ, f"{PREFIX}TRITON": settings.triton, f"{PREFIX}MODEL": settings.model,
        f"{PREFIX}HOST": settings.host, f"{PREFIX}PORT": str(settings.port), f"{PREFIX}KEYS_FILE": settings.keys_file,
        "BENTOML_DO_NOT_TRACK": "true",  # nobody else hears of it
        # Its sums are small: more threads for one would only take cores from the painter and from other requests.
        "OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", "1"),
        "PYTHONPATH": os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p),
    }  # fmt: skip
    arguments = ["--host", settings.host, "--port", str(settings.port), "--api-workers", "1"]
    return [sys.executable, "-m", "bentoml", "serve", SERVICE, *arguments], environment


def run(*, triton: str, model: Path | None, host: str, port: int, keys: Path | None) -> None:
    """Become the gateway's process. Raises ConfigError on settings that make no sense, before anything starts."""
    named = {"TRITON": triton, "MODEL": model.absolute() if model else "", "HOST": host, "PORT": port,
             "KEYS_FILE": keys.absolute() if keys else ""}  # fmt: skip
    given = {PREFIX + name: str(value) for name, value in named.items()}
    settings = Settings.read({**os.environ, **given})
    settings.keys()
    try:
        import bentoml  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ServingError("the gateway's packages are missing: pip install 'danqing[gateway]'") from error
    print(
        f"the studio opens at http://{host}:{port}, its API is described at /openapi.json; Ctrl-C stops it", flush=True
    )
    if not settings.secret:
        print(
            f"no secret ({PREFIX}SECRET): short prompts can be guessed from their digest, and anybody can put the "
            "watermark into other pictures",
            flush=True,
        )
    arguments, environment = command(settings)
    os.execve(arguments[0], arguments, environment)  # noqa: S606 - no shell
