"""Call a served danqing: `from serving.client import Danqing`."""

from serving.client.asynchronous import AsyncDanqing
from serving.client.client import Danqing
from serving.client.wire import Step

__all__ = ["AsyncDanqing", "Danqing", "Step"]
