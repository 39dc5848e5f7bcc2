"""`saccade list`."""

from rich.table import Table

from .. import REGISTRY
from .tables import console


def list_apps():
    """The apps and what they do.

    Example: `saccade list`
    """
    table = Table("app", "what it does", box=None)
    for name, known in REGISTRY.items():
        table.add_row(name, known.summary)
    console.print(table)
