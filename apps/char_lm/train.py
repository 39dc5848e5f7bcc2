"""Training: see `core.language_training`."""

from ..core.language_training import fit

__all__ = ["fit"]
