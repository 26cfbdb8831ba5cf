"""The controller as a process of its own, beside a Triton that reads `STORE/models`.

    tritonserver --model-repository=STORE/models --model-control-mode=explicit --exit-on-error=false \\
        --load-model=danqing --load-model=edit --load-model=preview \\
        --grpc-restricted-protocol=model-repository:danqing-control=SECRET \\
        --http-restricted-api=model-repository:danqing-control=SECRET
    DANQING_TRITON_SECRET=SECRET python -m serving.rollout --store STORE --tracking http://mlflow:5000

The status file's modification time is the end of the last round: a liveness probe is
`test $(($(date +%s) - $(stat -c %Y STORE/status.json))) -lt 900`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from danqing.errors import DanqingError
from danqing.pretrained import box
from serving.rollout.settings import Rollout


def main(
    store: Annotated[Path, typer.Option(help="Folder of the controller's own; Triton reads its `models`.")],
    tracking: Annotated[str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="Address of the MLflow registry.")],
    triton: str = "grpc://localhost:8001",
    secret: Annotated[str, typer.Option(envvar="DANQING_TRITON_SECRET", help="What Triton's control wants.")] = "",
    name: Annotated[str, typer.Option(help="Registered model.")] = "danqing",
    fallback: Annotated[
        Optional[Path], typer.Option(help="Package served while there is no champion; the model in the box.")
    ] = None,
    status: Annotated[Optional[Path], typer.Option(help="The status file [default: STORE/status.json].")] = None,
    interval: Annotated[float, typer.Option(help="Seconds between two looks at the registry.")] = 2.0,
    keep: Annotated[int, typer.Option(help="Versions that stay on disk.")] = 3,
) -> None:
    """Let what Triton serves follow the alias `champion`, until SIGTERM."""
    from serving.rollout.follow import follow

    try:
        follow(
            Rollout(
                store=store, tracking=tracking, triton=triton, secret=secret, name=name, fallback=fallback or box(),
                status=status, interval=interval, keep=keep,
            )
        )  # fmt: skip
    except DanqingError as error:
        typer.secho(f"rollout: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


if __name__ == "__main__":
    typer.run(main)
