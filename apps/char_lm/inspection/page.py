"""`cells.html`: every property with the text in the colours of its best unit."""

import html
import string

import numpy as np

from ...core.report.html import scale, spans, styles
from .drawing import NAMING, passage, shades


def render(text, units, names, results, left_out, source):
    """`cells.html`, complete in itself: str."""
    rows, sections = [], []
    for k, r in enumerate(results):
        where = passage(r.probe, text, 2_500)
        values, low, high = shades(units[:, r.units[0]])
        marked = np.zeros(len(text), bool) if r.probe.graded else r.probe.values
        name, meaning, unit = map(
            html.escape, (r.probe.name, r.probe.meaning, names[r.units[0]])
        )
        next_best = ", ".join(
            f"{html.escape(names[u])} {score:.2f}"
            for u, score in zip(r.units[1:], r.held_out[1:], strict=True)
        )
        rows.append(
            f'<tr><td><a href="#p{k}">{name}</a><td>{unit}<td>{r.direction}'
            f"<td>{r.measure}<td><b>{r.held_out[0]:.2f}</b><td>{r.chance:.2f}"
            f"<td>{r.untrained:.2f}</tr>"
        )
        sections.append(
            f'<h2 id="p{k}">{name}: {unit}, {r.direction}</h2>\n'
            f"<p>{r.measure.capitalize()} on held-out text <b>{r.held_out[0]:.2f}</b>, "
            f"chance {r.chance:.2f}, untrained {r.untrained:.2f}. The property: "
            f"{meaning}. Full blue is a value of {low:.2f}, full red {high:.2f}. Next "
            f"best: {next_best}.</p>\n"
            f"<pre>{spans(text[where], values[where], marked[where])}</pre>\n"
        )
    if left_out:
        items = (
            f"<li>{html.escape(f'{name}: {why}.')}" for name, why in left_out.items()
        )
        sections.append(f"<h2>Not measured</h2>\n<ul>{''.join(items)}</ul>\n")
    return PAGE.substitute(
        source=html.escape(source),
        naming=NAMING,
        styles=styles(),
        scale=scale(),
        rows="\n".join(rows),
        sections="\n".join(sections),
    )


PAGE = string.Template("""\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Reading the cells</title>
<style>
table { border-collapse: collapse }
td, th { text-align: left; padding: .2em 1em .2em 0; border-bottom: 1px solid #ddd }
h2 { font-size: 1.1em; margin: 2.5em 0 0 }
pre { font: 13px/1.7 monospace }
$styles
</style>
<h1>Reading the cells</h1>
<p>$source.</p>
<p>Each unit of the network has a value behind every character that it has read. Below,
the unit that follows a property of the text best, drawn on a passage that it was not
chosen on: low $scale high. Underlined is where the property holds; the passage is the
one where the property varies most. Nobody told the network of these properties: it only
learned to guess the next character. $naming</p>
<table>
<tr><th>property<th>best unit<th>it is<th>measure<th>score<th>chance
<th>untrained</tr>
$rows
</table>
<p>Balanced accuracy is the mean of two shares, that of the yes characters that a
threshold tells right and that of the no characters: a guess has 0.5. A correlation is
between -1 and 1. Unit, threshold and direction were chosen on the first half of the
text; the score comes from the second. Chance is what the best of all units reaches
there in 99 of 100 cases with labels that do not belong to the text, because they were
turned round in a circle. Untrained is the score of the best unit of the same network
before its training: the last few characters tell something without any learning.</p>
$sections
</html>
""")
