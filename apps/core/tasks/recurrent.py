"""The recurrent cells and layers of `saccade.layers` by the names that --cell takes."""

from .... import layers
from ..settings.cells import CELLS


def cell(cell_name, units):
    """A cell: one step."""
    kind, options = CELLS[cell_name]
    return getattr(layers, f"{kind}Cell")(units, **options)


def level(cell_name, units, **how):
    """A layer: all steps. how: `return_sequences`, `return_state`, `name` ..."""
    kind, options = CELLS[cell_name]
    return getattr(layers, kind)(units, **options, **how)
