"""Call a served danqing: `from serving.client import Danqing`."""

from serving.client.asynchronous import AsyncDanqing
from serving.client.client import Danqing
from serving.client.wire import Broken, Loading, Overloaded, Refused, Step, TooSlow, Unreachable

__all__ = [
    "AsyncDanqing", "Broken", "Danqing", "Loading", "Overloaded", "Refused", "Step", "TooSlow", "Unreachable"
]  # fmt: skip
