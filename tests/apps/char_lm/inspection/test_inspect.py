"""What the inspection reads from a model, and the files that it writes."""

import csv
import html
import pathlib
import re
import types

import keras
import numpy as np
import pytest
from matplotlib.image import imread

from saccade.apps.char_lm import config, data, inspection, model
from saccade.apps.char_lm.inspection import drawing
from saccade.apps.char_lm.inspection.probes import Probe
from saccade.apps.char_lm.vocabulary import characters as characters_of
from saccade.apps.core.errors import UserError
from saccade.apps.core.tasks.language.streams import state_names


def small(**options):
    chosen = config.Config(**{"cell": "lstm", "units": 6, "seed": 1, **options})
    characters = characters_of(data.ALPHABET)
    keras.utils.set_random_seed(1)
    return chosen, characters, model.build_model(chosen, characters)


@pytest.mark.parametrize("cell", ["lstm", "gru", "min_lstm"])
def test_activations_are_the_states_carried_through_the_text(cell):
    _, characters, network = small(cell=cell, levels=2)
    ids = characters.ids("for x in range(3):\n")
    names, values = inspection.read_states(network, ids)
    states = state_names(network)
    assert values.shape == (len(ids), 6 * len(states))
    assert names[:2] == ["level_0_h[0]", "level_0_h[1]"]

    given = {name: np.zeros([1, 6], np.float32) for name in states}
    for length in (1, 7, len(ids)):  # read at once, without a loop of our own
        reset = np.arange(length)[None] == 0
        out = network({"tokens": ids[None, :length], "reset": reset, **given})
        last = [np.array(out[name])[0] for name in states]
        last = [
            np.tanh(v) if name.endswith("c") else v
            for name, v in zip(states, last, strict=True)
        ]
        np.testing.assert_allclose(values[length - 1], np.concatenate(last), atol=1e-5)

    # The start is read before the text, and has no row of its own.
    with_start = np.append(np.int32(characters.start), ids)
    _, expected = inspection.read_states(network, with_start)
    _, behind_start = inspection.read_states(network, ids, characters.start)
    np.testing.assert_allclose(behind_start, expected[1:], atol=1e-6)
    assert np.abs(behind_start - values).max() > 1e-3


CODE = (
    "".join(
        f'def name_{i}(a, b):  # {"no" * (i % 5)}\n    if a < {i}:\n        b = "<b>"\n'
        f"    return [a, (b, {i})]\n\n"
        for i in range(60)
    )
    + "历史\n"
)


@pytest.fixture(scope="module")
def inspected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    chosen, characters, network = small()
    run = types.SimpleNamespace(
        config=chosen, assets=characters, model=network, folder=folder
    )
    file = folder / "code.py"
    file.write_text(CODE, "utf-8")
    return run, file, inspection.inspect(run, file)


def test_inspect_says_what_it_found(inspected):
    _, _, facts = inspected
    assert facts["units"] == "12 (level_0_h, level_0_c)"
    pattern = r"level_0_[hc]\[\d\], (high|low) there; balanced accuracy .*chance 0\.\d+"
    assert re.search(pattern, facts["inside a condition"])
    assert "correlation" in facts["bracket depth"]
    assert "not measured" in facts["inside a URL"]


def test_an_untrained_model_is_its_own_measure(inspected):
    _, _, facts = inspected
    fact = facts["inside a condition"]
    score, untrained = re.search(r"accuracy (\S+) .* untrained (\S+)\)", fact).groups()
    assert score == untrained
    assert facts["above both"].startswith("0 of")


def test_inspect_writes_a_picture_and_a_table(inspected):
    run, _, _ = inspected
    folder = pathlib.Path(run.folder) / "inspect"
    picture = imread(folder / "cells.png")[..., :3]
    assert picture.shape[0] > 500
    colours = picture.reshape(-1, 3)
    blue = (colours[:, 2] > 0.95) & (colours[:, 0] < 0.6)
    red = (colours[:, 0] > 0.95) & (colours[:, 2] < 0.6)
    assert min(blue.mean(), red.mean()) > 0.005
    with open(folder / "units.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    quoted = [row for row in rows if row["property"] == "inside quotes"]
    assert [row["rank"] for row in quoted] == ["1", "2", "3", "4", "5"]
    assert all(0 <= float(row["held out"]) <= 1 for row in quoted)


def test_the_page_is_complete_and_safe(inspected):
    run, _, _ = inspected
    page = (pathlib.Path(run.folder) / "inspect/cells.html").read_text("utf-8")
    assert "<b>&quot;" not in page
    assert "<b></i>" not in page
    assert not re.search(r"(src|href)=\"(?!#)", page)  # nothing from elsewhere
    shown = re.search("<pre>(.*?)</pre>", page, re.DOTALL)[1]
    plain = html.unescape(re.sub("<[^>]*>", "", shown))
    assert plain in CODE
    assert "<b>" in plain
    assert "$" not in page.replace("$i", "")


def test_the_passage_is_held_out_and_whole_lines():
    values = np.array([c == "<" for c in CODE])
    where = drawing.passage(Probe("p", "", values), CODE, 300)
    assert where.start >= len(CODE) // 2
    assert CODE[where.start - 1] == CODE[where.stop - 1] == "\n"
    assert values[where].any()


def test_another_folder(inspected, tmp_path, monkeypatch):
    run, file, _ = inspected
    units = np.random.default_rng(0).normal(size=(len(CODE), 3))
    monkeypatch.setattr(inspection, "read_states", lambda *_: (["a", "b", "c"], units))
    inspection.inspect(run, str(file), tmp_path / "a/b")
    assert sorted(p.name for p in (tmp_path / "a/b").iterdir()) == [
        "cells.html",
        "cells.png",
        "units.csv",
    ]


def test_errors(inspected, tmp_path):
    run, _, _ = inspected
    with pytest.raises(UserError, match="Expected a text file .* none at"):
        inspection.inspect(run, tmp_path)
    short = tmp_path / "short.txt"
    short.write_text("too short\n")
    with pytest.raises(UserError, match="10 characters; at least 1,000"):
        inspection.inspect(run, short)
    short.write_bytes(b"caf\xe9" * 1000)
    with pytest.raises(UserError, match="no UTF-8"):
        inspection.inspect(run, short)
