"""Training: see `core.tasks.language.training`."""

from ..core.tasks.language.training import fit

__all__ = ["fit"]
