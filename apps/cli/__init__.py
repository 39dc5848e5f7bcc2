"""The command line: `saccade VERB APP ...`."""

from .commands import main

__all__ = ["main"]
