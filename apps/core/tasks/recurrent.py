"""The recurrent cells and layers of `saccade.layers` by the names that --cell takes."""

from keras.layers import StackedRNNCells

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


def decoder_layer(names, units, attention=None, condition="initial", **how):
    """What carries the state of a `TokenDecoder` from token to token.

    Args:
        names: of the cells, one per level, the lowest first. units: of each.
        attention: the attention layer, or None.
        condition: as in `TokenDecoder`.
        how: further options of an `AttentionRNN`.
    """
    cells = [cell(name, units) for name in names]
    every = {"return_sequences": True, "return_state": True}
    if attention is None:
        if condition == "every":
            cells[0] = layers.ConditionedCell(cells[0])
        levels = [layers.Recurrent(one, **every) for one in cells]
        return levels[0] if len(levels) == 1 else layers.Stacked(levels, **every)
    stack = cells[0] if len(cells) == 1 else cells
    if condition == "every":
        if len(cells) > 1:
            stack = StackedRNNCells(cells)
        stack = layers.ConditionedCell(stack)
    return layers.AttentionRNN(stack, attention, **how, **every)
