"""DNA."""

from ..core.lazy import members

__getattr__ = members(__name__)
