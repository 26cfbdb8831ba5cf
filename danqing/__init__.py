"""danqing (丹青): a sentence becomes a traditional Chinese painting."""

from danqing import _torchvision_compat

__version__ = "0.1.0"

_torchvision_compat.install()
