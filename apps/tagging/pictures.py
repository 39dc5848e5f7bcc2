"""Answers to look at: entities in colours, scores of neighbours, files of others."""

import html
import itertools
import pathlib
import re
import unicodedata

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..core.errors import UserError
from ..core.files.whole import write_text
from ..core.report import plot
from ..core.report.html import page as html_page

COLUMNS = 76  # of a line; a Chinese character takes two
CELL = (0.1, 0.42)  # inches: width of a column, height of a line
# Where a line may be folded: behind words, and behind every Chinese character.
WORD = re.compile(r"[\u2e80-\uffff]|[^\s\u2e80-\uffff]+\s*|\s+")
NOTE = "below: the label, and how likely it is, in percent"
COLOURS = ("#ffd6a5", "#bde0fe", "#caffbf", "#ffc8dd", "#e2d5ff", "#fdffb6", "#d0f4de")


def pieces(answer):
    """A text as it is drawn: list of (text, label, score), label "" between entities.

    Args:
        answer: of `serving_default`, as `predict` gives it.
    """
    found, place, text = [], 0, answer["source"]
    entities = zip(
        *(answer[f"entity_{part}"] for part in ("start", "end", "label", "score")),
        strict=True,
    )
    for start, end, label, score in entities:
        found += [(word, "", 0.0) for word in WORD.findall(text[place:start])]
        found.append((text[start:end], label, float(score)))
        place = end
    return found + [(word, "", 0.0) for word in WORD.findall(text[place:])]


def with_entities(answers):
    """The answers that can be drawn and written: what could be read, and no n best.

    Raises:
        UserError: they are not of `serving_default`.
    """
    if any("entity" not in answer for answer in answers):
        raise UserError(
            "Entities are in what serving_default answers: leave --signature out."
        )
    return [answer for answer in answers if answer["ok"]]


def colours(answers):
    """Label -> its colour."""
    labels = sorted({label for a in answers for label in a["entity_label"]})
    return dict(zip(labels, itertools.cycle(COLOURS), strict=False))


def width_of(text):
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def figure(answers):
    """Texts with their entities on colours, the label and its probability in percent
    below each: a `matplotlib.figure.Figure`."""
    palette, cells, line = colours(answers), [], 1
    for answer in answers:
        column = 0
        for text, label, score in pieces(answer):
            name = f"{label} {100 * score:.0f}" if label else ""
            # The names below are in a smaller type.
            wide = max(width_of(text), round(0.75 * width_of(name)) + 1 if label else 0)
            if column + wide > COLUMNS and column:
                line, column = line + 1, 0
            cells.append((column, line, wide, text, label, name))
            column += wide
        line += 1
    columns = max((column + wide for column, _, wide, *_ in cells), default=1)
    columns = max(columns, len(NOTE) * 3 // 4)  # in a smaller type
    size = np.array([CELL[0] * columns, CELL[1] * max(line, 1)])
    made = Figure(size + 0.3, dpi=120)
    axes = made.add_axes((0.02, 0.02, 0.96, 0.96))
    axes.set_axis_off()
    axes.set_xlim(0, columns)
    axes.set_ylim(max(line, 1), 0)
    style = {"parse_math": False, "fontfamily": ["DejaVu Sans Mono", *plot.fonts()]}
    axes.text(0.1, 0.5, NOTE, fontsize=7, va="center", color="#555")
    for column, line, wide, text, label, name in cells:
        if label:
            corner = column + 0.1, line + 0.05
            box = Rectangle(corner, wide - 0.2, 0.85, color=palette[label], linewidth=0)
            axes.add_patch(box)
        middle = column + wide / 2 if label else column + width_of(text) / 2
        shown = "".join(map(plot.drawable, text))
        axes.text(
            middle, line + 0.32, shown, fontsize=9, ha="center", va="center", **style
        )
        axes.text(
            middle, line + 0.72, name, fontsize=6, ha="center", va="center", **style
        )
    return made


STYLES = """\
body { font: 16px/2 sans-serif; color: #222; background: #fff; max-width: 60em;
       margin: 2em auto; padding: 0 1em }
mark { color: #222; padding: .2em .25em; border-radius: .25em }
small { font-size: .65em; color: #555; margin-left: .4em }
p { white-space: pre-wrap }
"""


def page(answers):
    """The same as HTML, complete in itself: str."""
    palette = colours(answers)
    lines = []
    for answer in answers:
        parts = [
            f'<mark style="background: {palette[label]}">{html.escape(text)}<small>'
            f"{html.escape(label)} {100 * score:.0f}</small></mark>"
            if label
            else html.escape(text)
            for text, label, score in pieces(answer)
        ]
        lines.append(f"<p>{''.join(parts)}</p>")
    note = "<p>Behind each: the label, and how likely it is, in percent.</p>"
    return html_page("Labels", "\n".join([note, *lines]), STYLES)


def transitions(task, model, out):
    """Draws the scores of neighbours of a CRF into `transitions.png` in a folder: dict
    with its path, and the best and the worst of them.

    Raises:
        UserError: the model has no CRF.
    """
    if task.config.decoder != "crf":
        raise UserError(
            f"Scores of neighbours are those of a CRF; received a run with decoder="
            f"{task.config.decoder}."
        )
    labels, scores = task.assets.labels, model.get_layer("crf").transitions.numpy()
    side = max(3.5, 0.22 * len(labels) + 2)
    made = Figure((side + 1, side), dpi=120, layout="constrained")
    axes = made.add_subplot()
    bound = float(np.abs(scores).max())
    shown = axes.imshow(scores, plot.LOW_HIGH, vmin=-bound, vmax=bound)
    family = {"fontfamily": plot.fonts(), "fontsize": 7}
    axes.set_xticks(range(len(labels)), labels, rotation=90, **family)
    axes.set_yticks(range(len(labels)), labels, **family)
    axes.set(xlabel="label", ylabel="the label before it")
    made.colorbar(shown, label="score, in nats")
    path = pathlib.Path(out) / "transitions.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    axes.set_title("what a label adds to the score of the next one", fontsize=9)
    made.savefig(path, bbox_inches="tight")
    order = np.argsort(scores, axis=None)

    def named(places):
        pairs = zip(*np.unravel_index(places, scores.shape), strict=True)
        return ", ".join(
            f"{labels[i]} {labels[j]} {scores[i, j]:.1f}" for i, j in pairs
        )

    return {
        "picture": str(path),
        "highest": named(order[:-4:-1]),
        "lowest": named(order[:3]),
    }


def write(path, answers):
    """Writes answers as CoNLL (.conll) or as brat reads them (.ann, with the texts in a
    .txt beside it); whether the file has one of these endings."""
    path = pathlib.Path(path)
    if path.suffix in (".conll", ".ann"):
        answers = with_entities(answers)
    if path.suffix == ".conll":
        rows = (
            "".join(f"{t}\t{g}\n" for t, g in zip(a["tokens"], a["tags"], strict=True))
            for a in answers
        )
        write_text(path, "\n".join(rows))
        return True
    if path.suffix != ".ann":
        return False
    lines, texts, before = [], [], 0
    for answer in answers:
        text = re.sub(r"[\r\n]", " ", answer["source"])
        entities = zip(
            *(answer[f"entity_{part}"] for part in ("label", "start", "end")),
            strict=True,
        )
        for label, start, end in entities:
            number = f"T{len(lines) + 1}"
            place = f"{label} {before + start} {before + end}"
            lines.append(f"{number}\t{place}\t{text[start:end]}\n")
        texts.append(text)
        before += len(text) + 1
    text, beside = "".join(text + "\n" for text in texts), path.with_suffix(".txt")
    if beside.exists() and beside.read_bytes() != text.encode():
        raise UserError(
            f"{path.name} comes with the texts in {beside}, which is there and holds "
            "something else. Name another file with --to."
        )
    write_text(beside, text)
    write_text(path, "".join(lines))
    return True
