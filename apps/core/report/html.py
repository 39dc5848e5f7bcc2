"""Texts in colours as HTML, complete in itself."""

import html
import itertools
import string

import matplotlib
import numpy as np

from .plot import LOW_HIGH

SHADES = 20  # colours in a page


def spans(text, values, marked):
    """Text as HTML, one <i> for neighbours of one colour; a line end shows as a sign.

    Args:
        text: str; values: (characters,), 0 ... 1; marked: bool, what to underline.
    """
    levels = np.minimum((values * SHADES).astype(int), SHADES - 1)
    runs = itertools.groupby(
        zip(text, levels, marked, strict=True), lambda one: one[1:]
    )
    return "".join(
        f'<i class="c{level}{" u" if mark else ""}">'
        + html.escape("".join(c for c, *_ in run)).replace("\n", "<s></s>\n")
        + "</i>"
        for (level, mark), run in runs
    )


STYLES = """\
body { font: 16px/1.5 sans-serif; color: #222; background: #fff; max-width: 60em;
       margin: 2em auto; padding: 0 1em }
pre { white-space: pre-wrap; border: 1px solid #ddd; padding: 1em;
      overflow-wrap: anywhere }
i { font-style: normal; padding: .15em 0 }
.u { border-bottom: 2px solid #222 }
s { text-decoration: none }
s::after { content: "\\21b5"; color: #aaa }
"""


def styles():
    """The styles of a page with `spans`, for its <style>."""
    colours = LOW_HIGH(np.linspace(0, 1, SHADES))
    return STYLES + "\n".join(
        f".c{k} {{ background: {matplotlib.colors.to_hex(colour)} }}"
        for k, colour in enumerate(colours)
    )


def scale():
    """All colours, from low to high."""
    return "".join(f'<i class="c{k}">&nbsp;</i>' for k in range(SHADES))


def coloured_page(title, note, panels):
    """A page of what `plot.coloured_text` draws: str.

    Args:
        title: str. note, panels: as there.
    """
    parts = []
    for name, text, values, marked in panels:
        marked = np.zeros(len(text), bool) if marked is None else marked
        parts.append(
            f"<h2>{html.escape(name)}</h2>\n"
            f"<pre>{spans(text, np.asarray(values), marked)}</pre>\n"
        )
    note = f"<p>{html.escape(note)} Low {scale()} high.</p>"
    return page(title, "\n".join([note, *parts]), PANELS + styles())


PANELS = """\
h2 { font-size: 1em; margin: 1.5em 0 0 }
pre { font: 15px/1.7 monospace; margin: .3em 0 }
"""


def page(title, body, styles):
    """A whole page: str. title: str. body, styles: HTML and CSS as they are."""
    return PAGE.substitute(title=html.escape(title), body=body, styles=styles)


PAGE = string.Template("""\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
$styles
</style>
<h1>$title</h1>
$body
</html>
""")
