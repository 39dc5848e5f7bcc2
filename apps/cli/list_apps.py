"""`saccade list`."""

from rich.table import Table

from .. import REGISTRY, load_config_module
from .tables import console


def list_apps():
    """The apps and what they do.

    Example: `saccade list`
    """
    table = Table("app", "what it does", box=None)
    for name in REGISTRY:
        table.add_row(name, load_config_module(name).SUMMARY)
    console.print(table)
