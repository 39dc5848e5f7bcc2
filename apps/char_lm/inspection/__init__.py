"""Reading the cells: which units keep in mind what a reader would (Karpathy, Johnson &
Li, "Visualizing and Understanding Recurrent Networks", 2015, arXiv:1506.02078).

    saccade inspect char_lm RUN FILE

reads a text, sets every unit beside every property of `probes`, and writes

    cells.html    the best unit of each property, with the text in its colours
    cells.png     the same, shorter, as a picture
    units.csv     every property's five best units and their scores

`activations` has what the units do, `probes` what a reader keeps in mind, `scoring` how
well the one follows the other, `drawing` and `page` show it.
"""

import pathlib

import keras
import numpy as np

from ...core.data.texts import read_text
from ...core.errors import UserError
from ...core.tasks.language.streams import state_names
from ..model import build_model
from . import probes
from .activations import read_states
from .drawing import draw
from .page import render
from .scoring import score_all
from .table import write_table

LONGEST = 100_000  # characters that are read, of a longer text the first
SHORTEST = 1_000


def inspect(run, path, out=None):
    """Read `path` with the model of `run`; write what its units follow into `out`.

    Args:
        run: `core.run.Run` of this app.
        path: a UTF-8 text, best one that the model was not trained on; its suffix
            says how it is read (`probes.probes`). At most LONGEST characters are read.
        out: a folder; None: `inspect` in the run's own.

    Returns:
        dict of facts for people: by property the unit, its score and what that is to
        be compared with, and the files that were written.

    Sets the seeds of Keras, NumPy and Python to `config.seed`.

    Raises:
        UserError: no such file, no UTF-8, or a text too short.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(
            f"Expected a text file to read, found none at {path}. Name one file, best "
            "one that the model was not trained on."
        )
    text = read_text(path)
    begins = f"the first {LONGEST:,} of " if len(text) > LONGEST else ""
    size = f"{begins}{len(text):,} characters"
    text = text[:LONGEST]
    if len(text) < SHORTEST:
        raise UserError(
            f"{path} has {len(text)} characters; at least {SHORTEST:,} are needed, and "
            "some 20,000 to tell a unit from chance. Name a longer text."
        )
    ids = run.assets.ids(text)
    names, units = read_states(run.model, ids, run.assets.start)
    keras.utils.set_random_seed(run.config.seed)  # as before the training
    before = build_model(run.config, run.assets)
    _, untrained = read_states(before, ids, run.assets.start)
    properties = probes.probes(text, path.suffix.lower())
    results, left_out = score_all(units, untrained, properties)

    out = pathlib.Path(out) if out else pathlib.Path(run.folder) / "inspect"
    out.mkdir(parents=True, exist_ok=True)
    source = (
        f"{path.name}, {size}, read by a model of {run.config.data}: "
        f"{run.config.levels} x {run.config.cell}, {run.config.units} units"
    )
    write_table(out / "units.csv", results, names)
    (out / "cells.html").write_text(
        render(text, units, names, results, left_out, source), "utf-8"
    )
    draw(text, units, names, results, source).savefig(out / "cells.png")

    above = sum(r.clearness > 0 for r in results)
    return {
        "text": f"{path}, {size}, the second half held out",
        "unknown to the model": f"{np.mean(ids == run.assets.unknown):.2%} of it",
        "units": f"{units.shape[1]} ({', '.join(state_names(run.model))})",
        **{r.probe.name: r.describe(names) for r in results},
        **{name: f"not measured: {why}" for name, why in left_out.items()},
        "above both": f"{above} of {len(results)} properties",
        "drawn": f"{out / 'cells.html'}, {out / 'cells.png'}",
        "table": str(out / "units.csv"),
    }
