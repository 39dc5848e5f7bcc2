"""What several verbs print: the console, and tables of figures and of options."""

from rich.console import Console
from rich.table import Table

from ..core.settings.command_line import flag_of, help_rows

SHOWN = 20  # rows and columns at most, of figures by label
PARTS = ("pooled", "mean", "deviation")  # of figures by folds

console = Console()


def show_facts(facts):
    """A dict as a table of names and values, as they are."""
    table = Table(box=None, show_header=False)
    for name, fact in facts.items():
        table.add_row(name, str(fact))
    console.print(table)


def show_figures(figures):
    """A dict as a table, floats with as many digits as say something; what is a dict
    of dicts in it, as a table of its own below."""
    table = Table(box=None, show_header=False)
    for name, value in figures.items():
        if not isinstance(value, dict):
            table.add_row(name.replace("_", " "), _shown(value))
    console.print(table)
    _show_dicts(figures)


def _show_dicts(figures):
    """What is a dict of dicts among figures, a table each."""
    for name, rows in figures.items():
        if not isinstance(rows, dict):
            continue
        columns = dict.fromkeys(column for row in rows.values() for column in row)
        columns = list(columns)[:SHOWN]
        table = Table(name, *map(str, columns), box=None)
        for row, cells in list(rows.items())[:SHOWN]:
            table.add_row(row, *(_shown(cells.get(column, "")) for column in columns))
        console.print(table)
        if len(rows) > SHOWN:
            print(f"and {len(rows) - SHOWN} more, see --json of `saccade evaluate`")


def show_folds(figures):
    """What `core.folds.evaluate` gives: of all rows, and over the folds."""
    table = Table(
        "",
        "all rows",
        "mean of folds",
        "deviation",
        box=None,
        title=f"{figures['folds']} folds, {figures['rows']} rows of {figures['data']}",
    )
    for name, pooled in {**figures["mean"], **figures["pooled"]}.items():
        if isinstance(pooled, dict):
            continue
        cells = [figures[part].get(name, "") for part in PARTS]
        table.add_row(name.replace("_", " "), *map(_shown, cells))
    console.print(table)
    _show_dicts(figures["pooled"])


def _shown(value):
    if isinstance(value, float):  # of a loss in nats the third digit matters
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"
    return str(value)


def show_inputs(kinds, title):
    """The input kinds of an app, with their options."""
    table = Table("option", "what it is", title=title, box=None)
    for name, kind in kinds.items():
        flags = [flag_of(name), *([flag_of(kind.alias)] if kind.alias else [])]
        table.add_row(", ".join(flags), kind.help)
    console.print(table)


def show_options(config, title):
    """The fields of a config, with the values that they have now and their help."""
    table = Table("option", "default", "what it is", title=title, box=None)
    rows = help_rows(config)
    several = len({row.group for row in rows}) > 1
    group = ""
    for row in rows:
        if several and row.group != group:
            group = row.group
            table.add_row(f"[bold]{group}[/bold]")
        table.add_row(row.flag, row.default, row.help)
    console.print(table)
