"""The client of a served danqing, under the name that applications import; it lies in `serving.client`.

from danqing.client import Danqing
Danqing("grpc://localhost:8001").paint("a lone boat under misty mountains, freehand", seed=7)
"""

from serving.client import (
    AsyncDanqing,
    Broken,
    Danqing,
    Loading,
    Overloaded,
    Refused,
    Step,
    TooSlow,
    Unreachable,
)

__all__ = [
    "AsyncDanqing", "Broken", "Danqing", "Loading", "Overloaded", "Refused", "Step", "TooSlow", "Unreachable"
]  # fmt: skip
