import csv
import html
import pathlib
import re
import types

import keras
import numpy as np
import pytest
from matplotlib.image import imread

from saccade.apps.char_lm import config, data, model, reading
from saccade.apps.char_lm.probes import Probe
from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs.characters import Characters
from saccade.apps.core.report import plot
from saccade.apps.core.tasks.language.streams import state_names

LENGTH = 8_000


@pytest.fixture(scope="module")
def noise():
    """Units that move slowly and know nothing, as the cells of a network do."""
    steps = np.random.default_rng(0).normal(size=(LENGTH, 40))
    units = np.zeros_like(steps)
    for t in range(1, LENGTH):
        units[t] = 0.95 * units[t - 1] + steps[t]
    return np.tanh(units / 5).astype(np.float32)


@pytest.fixture(scope="module")
def stretches():
    """Yes and no in turns of random length."""
    sizes = np.random.default_rng(1).integers(5, 60, LENGTH)
    return np.repeat(np.arange(LENGTH) % 2 == 1, sizes)[:LENGTH]


def test_a_unit_that_is_the_property_wins_with_score_1(noise, stretches):
    ramp = np.tile(np.arange(50, dtype=np.float32), LENGTH // 50)
    units = noise.copy()
    units[:, 7] = np.where(stretches, 0.3, 0.2)
    units[:, 9] = 1 - ramp / 50
    properties = [Probe("quoted", "", stretches), Probe("place", "", ramp)]
    results, left_out = reading.score_all(units, noise, properties)
    assert not left_out
    quoted, place = sorted(results, key=lambda r: r.probe.name, reverse=True)
    assert (quoted.units[0], quoted.rises[0]) == (7, True)
    assert quoted.held_out[0] == 1
    assert (place.units[0], place.rises[0]) == (9, False)
    assert place.held_out[0] == pytest.approx(1, abs=1e-5)
    assert max(quoted.held_out[1], quoted.chance, place.held_out[1]) < 0.8
    assert quoted.untrained < quoted.chance
    assert quoted.clearness == 1


def test_units_that_know_nothing_stay_at_chance(noise, stretches):
    (result,), _ = reading.score_all(noise, noise, [Probe("quoted", "", stretches)])
    assert 0.5 < result.chance < 0.75
    assert result.held_out[0] < result.chance


def test_what_the_untrained_network_has_is_no_merit(noise, stretches):
    units = noise.copy()
    units[:, 7] = stretches
    (result,), _ = reading.score_all(units, units[:, ::-1], [Probe("", "", stretches)])
    assert result.held_out[0] == result.untrained == 1
    assert result.clearness == 0


def test_chance_is_higher_where_both_move_slowly(noise, stretches):
    quick = np.random.default_rng(2).permutation(stretches)
    probes = [Probe("slow", "", stretches), Probe("quick", "", quick)]
    results, _ = reading.score_all(noise, noise, probes)
    chance = {r.probe.name: r.chance for r in results}
    assert chance["slow"] > chance["quick"] + 0.02


def test_the_score_is_of_the_second_half(noise, stretches):
    units = noise.copy()
    units[: LENGTH // 2, 3] = stretches[: LENGTH // 2]
    (result,), _ = reading.score_all(units, noise, [Probe("quoted", "", stretches)])
    assert result.units[0] == 3  # the best, as far as the first half can tell
    assert result.held_out[0] < 0.6


def test_scores_agree_with_their_definitions(noise, stretches):
    units = noise[:, :1] + 0.5 * stretches[:, None]
    halves = reading.Halves(units, np.arange(LENGTH), LENGTH // 2)
    x, y = units[LENGTH // 2 :, 0], stretches[LENGTH // 2 :]
    first = units[: LENGTH // 2, 0], stretches[: LENGTH // 2]

    def balanced(x, y, threshold):
        return (np.mean(x[y] > threshold) + np.mean(x[~y] <= threshold)) / 2

    levels = np.percentile(first[0], np.arange(reading.LEVELS))
    best = max(levels, key=lambda level: balanced(*first, level))
    fit, held_out, rises = halves.score(stretches)
    assert fit[0] == pytest.approx(balanced(*first, best))
    assert held_out[0] == pytest.approx(balanced(x, y, best))
    assert rises[0]
    _, held_out, _ = halves.score(stretches.astype(np.float32))
    assert held_out[0] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-5)


def test_a_unit_that_never_moves_scores_nothing(stretches):
    units = np.full((LENGTH, 2), 0.7, np.float32)
    halves = reading.Halves(units, np.arange(LENGTH), LENGTH // 2)
    assert halves.score(stretches)[1].tolist() == [0.5, 0.5]
    assert halves.score(stretches.astype(np.float32))[1].tolist() == [0, 0]


def test_what_is_too_rare_is_said_and_not_measured(noise):
    once = np.zeros(LENGTH, bool)
    once[100:200] = True
    probes = [
        Probe("once", "", once),
        Probe("flat", "", np.zeros(LENGTH, np.float32)),
    ]
    results, left_out = reading.score_all(noise, noise, probes)
    assert not results
    assert "begins 1 and 0 times" in left_out["once"]
    assert "never changes" in left_out["flat"]


# The model


def small(**options):
    chosen = config.Config(**{"cell": "lstm", "units_rnn": 6, "seed": 1, **options})
    characters = Characters(data.ALPHABET)
    keras.utils.set_random_seed(1)
    return chosen, characters, model.build_model(chosen, characters)


@pytest.mark.parametrize("cell", ["lstm", "gru", "min_lstm"])
def test_activations_are_the_states_carried_through_the_text(cell):
    _, characters, network = small(cell=cell, levels=2)
    ids = characters.ids("for x in range(3):\n")
    names, values = reading.activations(network, ids)
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
    return run, file, reading.inspect(run, file)


def test_inspect_says_what_it_found(inspected):
    _, _, facts = inspected
    assert facts["units"] == "12 (level_0_h, level_0_c)"
    pattern = r"level_0_[hc]\[\d\], (high|low) there; balanced accuracy .*chance 0\.\d+"
    assert re.search(pattern, facts["inside a condition"])
    assert "correlation" in facts["bracket depth"]
    assert "not measured" in facts["inside a URL"]


def test_an_untrained_model_is_its_own_measure(inspected):
    _, _, facts = inspected
    said = facts["inside a condition"]
    score, untrained = re.search(r"accuracy (\S+) .* untrained (\S+)\)", said).groups()
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
    where = reading.passage(Probe("p", "", values), CODE, 300)
    assert where.start >= len(CODE) // 2
    assert CODE[where.start - 1] == CODE[where.stop - 1] == "\n"
    assert values[where].any()


def test_coloured_text_puts_every_character_on_its_colour(tmp_path):
    text = "ab历\n\U0010fffdcde"  # a wide one, a line end, one that no font has
    values = np.array([0, 0.5, 1, 0.2, 0.1, 0.3, 0.4, 0.6])
    marked = np.array([c in "bc" for c in text])
    figure = plot.coloured_text([("this", text, values, marked)], "note", columns=4)
    figure.savefig(tmp_path / "out.png")  # a missing glyph would warn
    (axes,) = figure.axes
    nothing = np.nan
    expected = [
        [nothing] * 4,  # the note
        [nothing] * 4,
        [nothing] * 4,  # the title
        [0, 0.5, 1, 1],
        [0.2, nothing, nothing, nothing],  # the line end, which had no room
        [0.1, 0.3, 0.4, 0.6],
        [nothing] * 4,
    ]
    drawn = np.ma.filled(axes.images[0].get_array().astype(float), np.nan)
    np.testing.assert_allclose(drawn, expected)
    shown = "".join(t.get_text() for t in axes.texts)
    assert shown == "notethisab历□cde"
    lines = [path.vertices for path in axes.collections[0].get_paths()]
    assert [line[:, 0].tolist() for line in lines] == [[1, 2], [1, 2]]
    with pytest.raises(ValueError, match="each of 8 characters, received 3"):
        plot.coloured_text([("title", text, values[:3], None)])


def test_another_folder(inspected, tmp_path, monkeypatch):
    run, file, _ = inspected
    units = np.random.default_rng(0).normal(size=(len(CODE), 3))
    monkeypatch.setattr(reading, "activations", lambda *_: (["a", "b", "c"], units))
    reading.inspect(run, str(file), tmp_path / "a/b")
    assert sorted(p.name for p in (tmp_path / "a/b").iterdir()) == [
        "cells.html",
        "cells.png",
        "units.csv",
    ]


def test_errors(inspected, tmp_path):
    run, _, _ = inspected
    with pytest.raises(UserError, match="Expected a text file .* none at"):
        reading.inspect(run, tmp_path)
    short = tmp_path / "short.txt"
    short.write_text("too short\n")
    with pytest.raises(UserError, match="10 characters; at least 1,000"):
        reading.inspect(run, short)
    short.write_bytes(b"caf\xe9" * 1000)
    with pytest.raises(UserError, match="no UTF-8"):
        reading.inspect(run, short)
