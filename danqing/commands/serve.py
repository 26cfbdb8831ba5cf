"""`danqing serve`: a real Triton on the champion's package."""

from __future__ import annotations

from pathlib import Path


def serve_command(
    package: Path | None = None,
    host: str = "127.0.0.1",
    http: int = 8000,
    grpc: int = 8001,
    metrics: int = 8002,
    log: Path | None = None,
) -> None:
    """Serve until Ctrl-C. package: None takes the champion, else the model in the box. log: file for Triton's lines."""
    from serving.triton.server import serve

    serve(package, host=host, http=http, grpc=grpc, metrics=metrics, log=log, say=lambda line: print(line, flush=True))
