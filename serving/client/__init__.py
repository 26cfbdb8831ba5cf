"""Call a served danqing: `from serving.client import Danqing`."""

from serving.client.client import Danqing

__all__ = ["Danqing"]
