"""`danqing plan`: TensorRT plans of a package, for the GPU of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from danqing.errors import ConfigError
from danqing.export.tensorrt import Plan, build


def plan_command(package: Path, out: Path, *, precision: str, batches: str, say: Callable[[str], None]) -> None:
    """batches: whole numbers with commas between them."""
    try:
        sizes = tuple(int(size) for size in batches.split(","))
    except ValueError:
        raise ConfigError(f"the batches are {batches!r}: whole numbers with commas are needed, e.g. 1,4,8") from None
    config = Plan(precision=precision, batches=sizes)  # type: ignore[arg-type]  # it checks
    for graph, record in build(package, out, config).items():
        say(f"{out / graph}.plan: {record['precision']}, for {record['gpu']} and TensorRT {record['tensorrt']}, "
            f"built in {record['seconds']:g} s")  # fmt: skip
