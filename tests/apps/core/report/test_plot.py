import base64
import io
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from saccade.apps.core.errors import UserError
from saccade.apps.core.files import whole
from saccade.apps.core.report import plot

PICTURE = np.full((64, 64, 3), 200, np.uint8)


def one_hot(*cells):
    """Attention (T, 16) that lies in one cell of a 4 x 4 grid per word."""
    return np.eye(16, dtype=np.float32)[list(cells)]


def panels(figure):
    parts = figure.subfigs or [figure]
    return [axes for part in parts for axes in part.axes if axes.images]


def words_of(figure):
    parts = figure.subfigs or [figure]
    every = [text for part in parts for axes in part.axes for text in axes.texts]
    return [text.get_text() for text in every]


def drawn(axes):
    return np.asarray(axes.images[0].get_array()).astype(float)


def test_one_panel_for_the_picture_and_one_per_word(tmp_path):
    words = "a red circle above a blue square".split()
    figure = plot.attention_figure(PICTURE, words, one_hot(*range(7)), title="hello")
    assert words_of(figure) == ["the picture", *words]
    assert len(panels(figure)) == 8 and panels(figure)[0].get_title() == "hello"
    assert "Bright" in figure.get_supxlabel()
    assert np.all(drawn(panels(figure)[0]) == 200)
    figure.savefig(tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 10_000


def test_bright_is_where_the_weight_is():
    figure = plot.attention_figure(PICTURE, ["word"], one_hot(6))  # row 1, column 2
    lit = drawn(panels(figure)[1])[:, :, 0]
    y, x = np.unravel_index(lit.argmax(), lit.shape)
    assert (y // 16, x // 16) == (1, 2)
    assert lit.max() == pytest.approx(200, abs=2)
    assert lit[60, 4] == pytest.approx(200 * plot.DARKEST, abs=1)


def test_an_oblong_grid_is_read_row_by_row():
    weights = np.eye(8)[[7]]  # the last of 2 rows and 4 columns
    figure = plot.attention_figure(PICTURE, ["word"], weights, grid=(2, 4))
    lit = drawn(panels(figure)[1])[:, :, 0]
    assert lit[-1, -1] == lit.max()
    assert lit[-1, 0] == lit[0, -1] == lit.min()


def test_even_attention_lights_the_whole_picture(tmp_path):
    figure = plot.attention_figure(PICTURE, ["word"], np.full((1, 16), 1 / 16))
    assert np.all(drawn(panels(figure)[1]) == 200)
    figure.savefig(tmp_path / "out.png")


def test_chinese_has_its_glyphs(tmp_path):
    # A missing glyph is a warning, and warnings are errors here.
    words = list("历史书")
    figure = plot.attention_figure(PICTURE, words, one_hot(0, 1, 2), title="历史书")
    figure.savefig(tmp_path / "out.png")
    last = font_manager.findfont(plot.fonts()[-1], fallback_to_default=False)
    known = font_manager.get_font(last).get_charmap()
    assert {ord(c) for c in "历史红色圆形"} <= set(known)


def test_captions_are_no_formulas(tmp_path):
    words = ["$5", "$x_{$", "$\\foo$"]
    title = "from $5 to $x_{ in every long shop of the town " * 5
    figure = plot.attention_figure(PICTURE, words, one_hot(0, 1, 2), title=title)
    figure.savefig(tmp_path / "out.png")


def test_a_word_without_any_attention_is_dark(tmp_path):
    figure = plot.attention_figure(PICTURE, ["word"], np.zeros((1, 16)))
    assert np.all(drawn(panels(figure)[1]) == 200 * plot.DARKEST)
    figure.savefig(tmp_path / "out.png")


def test_the_font_changes_no_default_of_matplotlib():
    before = dict(matplotlib.rcParams)
    plot.fonts.cache_clear()
    assert plot.fonts()[0] == "DejaVu Sans"
    assert dict(matplotlib.rcParams) == before
    assert "zhplot" not in sys.modules


def test_a_sheet_of_several_pictures(tmp_path):
    rows = [
        (
            PICTURE,
            "one two three four five six".split(),
            one_hot(*range(6)),
            "first",
        ),
        (PICTURE, ["word"], one_hot(3)),
        (PICTURE, [], np.zeros((0, 16))),
    ]
    figure = plot.attention_sheet(rows * 2)  # more than stand side by side
    assert len(panels(figure)) == 2 * (7 + 2 + 1)
    figure.savefig(tmp_path / "out.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (PICTURE, ["a", "b"], one_hot(0)),
            r"2 words, received the shape \(1, 16\)",
        ),
        ((PICTURE[..., 0], ["a"], one_hot(0)), r"received \(64, 64\)"),
        ((PICTURE, ["a"], np.ones((1, 15))), "15 regions.*no square"),
        ((PICTURE, ["a"], np.ones((1, 16)), (3, 5)), r"16 regions, received \(3, 5\)"),
    ],
)
def test_shapes_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot.attention_figure(*arguments)


def test_an_empty_sheet():
    with pytest.raises(ValueError, match="received none"):
        plot.attention_sheet([])


def test_curves_pair_training_with_validation(tmp_path):
    history = {
        "round": [1, 2, 3],
        "seconds": [9.0, 18.0, 27.0],
        "loss": [3.0, 2.0, 1.0],
        "val_loss": [3.5, 2.5, 2.0],
        "val_exact_match": [0.0, 40.0, 80.0],
    }
    path = tmp_path / "history.csv"
    rows = [list(history), *zip(*history.values(), strict=True)]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    for given in (history, path, str(path)):
        figure = plot.curves_figure(given)
        assert [a.get_title() for a in figure.axes] == ["loss", "exact match"]
        lines = figure.axes[0].get_lines()
        assert [line.get_label() for line in lines] == ["training", "validation"]
        assert lines[1].get_ydata().tolist() == history["val_loss"]
        figure.savefig(tmp_path / "curves.png")


def test_a_round_without_a_figure_is_a_gap_in_its_line(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("round,loss,val_mcc\n1,3.0,\n2,2.0,0.5\n")
    loss, mcc = plot.curves_figure(path).axes
    assert loss.get_lines()[0].get_ydata().tolist() == [3.0, 2.0]
    np.testing.assert_array_equal(mcc.get_lines()[0].get_ydata(), [np.nan, 0.5])


def test_curves_of_nothing(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("round,loss\n")
    with pytest.raises(ValueError, match="received \\[\\]"):
        plot.curves_figure(path)


def test_drawing_needs_no_pyplot():
    assert "matplotlib.pyplot" not in vars(plot)


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


# Animations


def frames(*greys):
    return [np.full((8, 12, 3), grey, np.uint8) for grey in greys]


def shown(content):
    """The frames of a GIF: list of (grey, milliseconds); and how often it repeats."""
    gif, found = Image.open(io.BytesIO(content)), []
    for i in range(gif.n_frames):
        gif.seek(i)
        found.append((gif.convert("L").getpixel((0, 0)), gif.info["duration"]))
    return found, gif.info["loop"]


def test_an_animation_becomes_a_gif_that_repeats_for_ever(tmp_path):
    file = tmp_path / "moves.gif"
    plot.write(plot.Animation(frames(0, 120, 255), [100, 200, 900]), file)
    assert shown(file.read_bytes()) == ([(0, 100), (120, 200), (255, 900)], 0)
    assert list(tmp_path.iterdir()) == [file]


def test_a_notebook_shows_an_animation():
    animation = plot.Animation(frames(0, 255), 50)
    shown_in_notebook = animation._repr_mimebundle_()
    assert base64.b64decode(shown_in_notebook["image/gif"]) == animation.gif()


@pytest.mark.parametrize(
    "given, milliseconds",
    [
        ([], 100),
        ([np.zeros((8, 8), np.uint8)], 100),
        ([np.zeros((8, 8, 3))], 100),
        ([*frames(0), np.zeros((8, 8, 3), np.uint8)], 100),
        (frames(0, 1), 10),
        (frames(0, 1), [100, 10]),
        (frames(0, 1), [100, 100, 100]),
    ],
)
def test_frames_that_cannot_follow_each_other_are_refused(given, milliseconds):
    with pytest.raises(ValueError, match="Expected"):
        plot.Animation(given, milliseconds)


def test_an_animation_goes_into_no_other_file(tmp_path):
    with pytest.raises(UserError, match=r"ending .gif; received .*a.png"):
        plot.write(plot.Animation(frames(0, 1)), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("made", [Figure((1, 1)), plot.Animation(frames(0, 1))])
def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch, made):
    file = tmp_path / "a.gif"
    file.write_bytes(b"before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole.os, "replace", full)
    with pytest.raises(UserError, match="Could not write"):
        plot.write(made, file)
    assert file.read_bytes() == b"before" and list(tmp_path.iterdir()) == [file]


def test_a_figure_is_a_frame():
    figure = Figure((2, 1), dpi=50, facecolor="red")
    pixels = plot.pixels_of(figure)
    assert pixels.shape == (50, 100, 3) and pixels.dtype == np.uint8
    assert np.all(pixels == [255, 0, 0])
