"""Errors of a character model that n-grams would not make, and the other way round.

    python benchmarks/char_errors.py RUN                     a trained run of char_lm
    python benchmarks/char_errors.py RUN --data FILE --split 80/10/10
    python benchmarks/char_errors.py --toy                   trains one in seconds

The error analysis of Karpathy, Johnson & Li 2015, "Visualizing and Understanding
Recurrent Networks" (arXiv:1506.02078), section 4.4. An *error* is a character to which
a model gave less than half of the probability before it came. n-grams of the orders 1
to 9 (modified Kneser-Ney) are counted on the text that the network was trained on. Then
the test text is read: by the network with its state carried on, by the n-grams with
what stands before. It prints, and draws into `char_errors.png`:

- the errors of the network beside those of every order, and how far they are the same.
  "any order" is the paper's optimistic n-gram: right where any one of the nine is;
- the same by class of character;
- the characters at which the network gains most on the best order, and least;
- what the network's errors are, the first of these that holds: an n-gram knew (any
  order); the last 1,000 characters knew (what followed there on the same eight
  characters); a rare word's (five times or fewer in the training text); a word's first
  letter; right behind punctuation or a line's end; nearly right (probability above
  0.4); the rest.

All is written to `char_errors.json` too. Both files go into the run's folder, or where
--out says.
"""

import argparse
import collections
import dataclasses
import json
import os
import pathlib
import re
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib
import numpy as np
import rich.console
import rich.table
import tensorflow as tf
from ngram import NGram

from saccade import apps
from saccade.apps.core.errors import UserError
from saccade.apps.core.report import plot
from saccade.apps.core.tasks.language.streams import Text, state_names

matplotlib.use("agg")
import matplotlib.pyplot as plt

ORDERS = range(1, 10)
RIGHT = 0.5  # of the probability, or it is an error
RARE_CHARACTER = 20  # times in the training text, or fewer
RARE_WORD = 5
MEMORY, MEMORY_GRAM = 1000, 8  # characters back; characters that must be the same
CLASSES = (
    "letter inside a word",
    "first letter of a word",
    "digit",
    "space",
    "indentation",
    "line end",
    "bracket",
    "quote",
    "other punctuation",
    "rare character",
)


def log_probs(model, text, rows=32, warm_up=1000, window=250):
    """Natural-log probability of every token of `text` under a network.

    The text is read in `rows` streams at once, each of which begins `warm_up` tokens
    before its own part, so that every token is predicted with a state behind it.

    Args:
        model: as `build_language_model` makes it.
        text: `core.tasks.language.streams.Text`.

    Returns:
        float64 (length,); nan for the first token of a document, which nothing before
        it tells.
    """
    names = state_names(model)

    @tf.function(jit_compile=True)
    def run(tokens, reset, targets, states):
        given = dict(zip(names, states, strict=True))
        outputs = model({"tokens": tokens, "reset": reset, **given}, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            targets, tf.cast(outputs["logits"], tf.float32)
        )
        return -losses, [outputs[name] for name in names]

    length = -(-len(text) // rows)
    steps = -(-(warm_up + length) // window)
    offsets = np.arange(steps * window) - warm_up
    # Before the text's beginning its first token is read, again and again, with a
    # reset; behind its end the last one.
    places = np.arange(rows)[:, None] * length + offsets  # (rows, steps * window)
    own = (offsets >= 0) & (offsets < length) & (places <= len(text) - 2)
    places = np.clip(places, 0, len(text) - 2)
    states = [tf.zeros([rows, model.input[name].shape[-1]]) for name in names]
    ids, begins = text.ids, text.begins
    log_p = np.full(len(text), np.nan)
    for step in range(steps):
        now = slice(step * window, (step + 1) * window)
        here = places[:, now]
        found, states = run(
            tf.constant(ids[here]),
            tf.constant(begins[here]),
            tf.constant(ids[here + 1]),
            states,
        )
        log_p[here[own[:, now]] + 1] = found.numpy()[own[:, now]]
    log_p[begins] = np.nan
    return log_p


def class_of(text, rare):
    """The class of every character, as places in CLASSES: int (length,).

    Args:
        text: str. rare: set of characters.
    """
    number = {name: i for i, name in enumerate(CLASSES)}
    found, before, at_begin = [], "\n", True
    for c in text:
        at_begin = before == "\n" or (at_begin and before == " ")
        if c in rare:
            name = "rare character"
        elif c.isalpha():
            inside = before.isalpha() or before == "_"
            name = "letter inside a word" if inside else "first letter of a word"
        elif c.isdigit():
            name = "digit"
        elif c == "\n":
            name = "line end"
        elif c.isspace():
            name = "indentation" if at_begin else "space"
        elif c in "()[]{}<>（）【】《》":
            name = "bracket"
        elif c in "\"'`“”‘’«»「」":
            name = "quote"
        else:
            name = "other punctuation"
        found.append(number[name])
        before = c
    return np.array(found)


def remembered(ids, length=MEMORY_GRAM, span=MEMORY):
    """Where the last `length` tokens stood before, at most `span` tokens ago, and the
    same token followed: bool (len(ids),)."""
    known = np.zeros(len(ids), bool)
    if len(ids) <= length:
        return known
    grams = np.lib.stride_tricks.sliding_window_view(ids, length)[:-1]
    _, grams = np.unique(grams, axis=0, return_inverse=True)
    last = {}
    for i, gram in enumerate(grams.ravel().tolist()):
        at = i + length
        if gram in last and at - last[gram] <= span:
            known[at] = ids[at] == ids[last[gram]]
        last[gram] = at
    return known


def in_rare_words(text, train, most=RARE_WORD):
    """The characters of words that `train` holds `most` times or fewer: bool."""
    counts = collections.Counter(re.findall(r"\w+", train))
    rare = np.zeros(len(text), bool)
    for word in re.finditer(r"\w+", text):
        rare[word.start() : word.end()] = counts[word.group()] <= most
    return rare


def causes(text, train, ids, network, ngrams):
    """What each error of the network is: list of (name, bool (length,)), disjoint."""
    first = class_of(text, set()) == CLASSES.index("first letter of a word")
    behind = np.array([False, *(not (c.isalnum() or c in "_ ") for c in text[:-1])])
    tests = [
        ("an n-gram knew", (ngrams >= RIGHT).any(axis=0)),
        (f"the last {MEMORY:,} characters knew", remembered(ids)),
        ("in a rare word", in_rare_words(text, train)),
        ("a word's first letter", first),
        ("behind punctuation or a line's end", behind),
        ("nearly right, above 0.4", network > 0.4),
        ("the rest", np.ones(len(text), bool)),
    ]
    left, found = network < RIGHT, []
    for name, holds in tests:
        found.append((name, left & holds))
        left = left & ~holds
    return found


def analyse(model, characters, train, test):
    """All tables, as a dict for JSON.

    Args:
        train, test: `core.tasks.language.streams.Documents`.
    """
    network_log = log_probs_of(model, characters, test)
    network = np.exp(network_log)
    train, test = (without_start(text, characters) for text in (train, test))
    text, train_text = spelled(test.ids, characters), spelled(train.ids, characters)
    # What a document begins with only a network with a start can say.
    predicted = ~test.begins
    ngrams, nats = [], []
    for order in ORDERS:
        log = NGram(order, "kneser_ney").fit(train.ids, characters.size)
        log = log.log_probs(test.ids)
        ngrams.append(np.exp(log))
        nats.append(-float(log[predicted].mean()))
    ngrams = np.array(ngrams)
    network[~predicted] = ngrams[:, ~predicted] = 1  # Nobody's errors.
    best = int(np.argmin(nats))

    wrong = network < RIGHT
    total = int(predicted.sum())

    def beside(other_wrong, where=predicted):
        """Numbers of errors among the characters `where`."""
        return {
            "network": int((wrong & where).sum()),
            "ngram": int((other_wrong & where).sum()),
            "both": int((wrong & other_wrong & where).sum()),
            "only_network": int((wrong & ~other_wrong & where).sum()),
            "only_ngram": int((~wrong & other_wrong & where).sum()),
        }

    orders = [
        {"order": order, "nats": n, **beside(p < RIGHT)}
        for order, n, p in zip(ORDERS, nats, ngrams, strict=True)
    ]
    orders.append({"order": "any order", **beside((ngrams < RIGHT).all(axis=0))})

    counts = collections.Counter(train_text)
    rare = {c for c in set(text) if counts[c] <= RARE_CHARACTER}
    kinds = class_of(text, rare)
    classes = []
    for i, name in enumerate(CLASSES):
        where = predicted & (kinds == i)
        if where.any():
            row = {"class": name, "characters": int(where.sum())}
            row["network_p"] = float(network[where].mean())
            row["ngram_p"] = float(ngrams[best, where].mean())
            classes.append({**row, **beside(ngrams[best] < RIGHT, where)})

    singles = []
    for c in sorted(set(text) - rare):
        where = predicted & (test.ids == characters.ids(c)[0])
        if where.sum() >= RARE_CHARACTER:
            mean = [float(p[where].mean()) for p in (network, ngrams[best])]
            singles.append({"character": c, "network_p": mean[0], "ngram_p": mean[1]})
    singles.sort(key=lambda s: s["ngram_p"] - s["network_p"])

    found = causes(text, train_text, test.ids, network, ngrams)
    return {
        "characters": total,
        "training_characters": len(train),
        "network_nats": -float(network_log[predicted].mean()),
        "best_order": ORDERS[best],
        "orders": orders,
        "classes": classes,
        "singles": singles,
        "causes": [
            {"cause": n, "errors": int((e & predicted).sum())} for n, e in found
        ],
    }


def log_probs_of(model, characters, documents):
    """`log_probs` of every character of `Documents`, read with their starts."""
    text = documents.text(characters)
    found = log_probs(model, text)
    return found if characters.start is None else found[~text.begins]


def without_start(documents, characters):
    """`Documents` as a `Text` of characters alone, which n-grams can count."""
    pieces = ((begins, characters.ids(piece)) for begins, piece in documents)
    return Text.from_pieces(pieces)


def spelled(ids, characters):
    """Ids as a str, one character each."""
    return characters.decode(ids[None]).numpy()[0].decode("utf-8")


def show(report, console):
    total = report["characters"]

    def share(number, of):
        return f"{100 * number / of:.1f} %" if of else "-"

    errors = report["orders"][0]["network"]
    console.print(
        f"{total:,} characters of test text. The network: "
        f"{report['network_nats']:.4f} nats, {share(errors, total)} errors "
        f"({errors:,}). Shares are of the characters, in the last table of its errors.",
        markup=False,
    )
    columns = ("both wrong", "only n-gram wrong", "only network wrong")
    keys = ("both", "only_ngram", "only_network")
    table = rich.table.Table(title="errors beside n-grams (modified Kneser-Ney)")
    for name in ("n-gram of order", "nats", "its errors", *columns):
        table.add_column(name, justify="right")
    for row in report["orders"]:
        nats = f"{row['nats']:.4f}" if "nats" in row else ""
        figures = [share(row[key], total) for key in ("ngram", *keys)]
        table.add_row(str(row["order"]), nats, *figures)
    console.print(table)

    best = f"{report['best_order']}-gram"
    table = rich.table.Table(title=f"by class of character, beside the {best}")
    table.add_column("class")
    headings = ("characters", "network's errors", f"{best}'s errors", *columns)
    for name in (*headings, "network's mean p", f"{best}'s mean p"):
        table.add_column(name, justify="right")
    for row in report["classes"]:
        figures = [
            share(row[k], row["characters"]) for k in ("network", "ngram", *keys)
        ]
        means = [f"{row[k]:.3f}" for k in ("network_p", "ngram_p")]
        table.add_row(row["class"], f"{row['characters']:,}", *figures, *means)
    console.print(table)

    table = rich.table.Table(title="what the network's errors are (first that holds)")
    table.add_column("cause")
    for name in ("errors", "share of its errors"):
        table.add_column(name, justify="right")
    for row in report["causes"]:
        number = row["errors"]
        table.add_row(row["cause"], f"{number:,}", share(number, errors))
    console.print(table)


def chart(report, path):
    """Errors by class, and the mean probability of single characters."""
    best = f"{report['best_order']}-gram"
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12.5, 5.4), width_ratios=(1.25, 1), layout="constrained"
    )
    rows = report["classes"][::-1]
    begin = np.zeros(len(rows))
    for key, name, colour in (
        ("both", "both wrong", "0.72"),
        ("only_ngram", f"only the {best} wrong: the network's gain", "tab:blue"),
        ("only_network", "only the network wrong: its loss", "tab:orange"),
    ):
        shares = np.array([100 * r[key] / r["characters"] for r in rows])
        left.barh(range(len(rows)), shares, left=begin, color=colour, label=name)
        begin += shares
    labels = [f"{r['class']}\n{r['characters']:,}" for r in rows]
    left.set_yticks(range(len(rows)), labels, fontsize=8)
    left.set(
        xlabel="% of the class's characters in the test text",
        title="Errors by class of character (below it: how many there are)",
    )
    left.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)

    singles, most = report["singles"], 12
    if len(singles) > 2 * most:
        singles = singles[:most] + singles[-most:]
    singles = singles[::-1]
    for y, one in enumerate(singles):
        ends = [one["ngram_p"], one["network_p"]]
        colour = "tab:blue" if ends[1] >= ends[0] else "tab:orange"
        right.plot(ends, [y, y], color=colour, linewidth=2)
        right.plot(ends[0], y, "|", color="0.3", markersize=9, markeredgewidth=2)
        right.plot(ends[1], y, "o", color=colour, markersize=5)
    named = {" ": "space", "\n": "line end", "\ufffd": "unknown"}
    labels = [named.get(s["character"], s["character"]) for s in singles]
    right.set_yticks(range(len(singles)), labels, fontsize=8)
    for label in right.get_yticklabels():
        label.set_fontfamily(plot.fonts())
        label.set_parse_math(False)
    right.set(
        xlim=(0, 1),
        xlabel=f"mean probability of the right character (bar: {best}, dot: network)",
        title="Characters with the largest gain, and the smallest",
    )
    right.grid(axis="x", alpha=0.3)
    figure.suptitle(
        f"Errors (probability of the right character below {RIGHT:g}) of the network, "
        f"{report['network_nats']:.3f} nats, and of a {best}, "
        f"{min(r['nats'] for r in report['orders'] if 'nats' in r):.3f} nats, "
        f"on {report['characters']:,} characters of test text",
        fontsize=11,
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def read(run, changes):
    """(train, test) `Documents` of the run's data, or of another."""
    splits = run.app.task_for(dataclasses.replace(run.config, **changes)).read()
    return splits.train, splits.test


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", nargs="?", help="folder; default: the newest of char_lm")
    parser.add_argument("--data", help="another text than the run's own")
    parser.add_argument("--data-dir", help="as in: saccade train char_lm")
    parser.add_argument("--split", help="as in: saccade train char_lm")
    parser.add_argument("--out", type=pathlib.Path, help="folder; default: the run's")
    parser.add_argument("--toy", action="store_true", help="proves only that it runs")
    arguments = parser.parse_args(words)
    app = apps.load("char_lm")
    changes = {name: getattr(arguments, name) for name in ("data", "data_dir", "split")}
    changes = {name: value for name, value in changes.items() if value is not None}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.toy:
            config = dataclasses.replace(app.presets["hello"](), **changes)
            run = app.train(config, pathlib.Path(folder) / "toy")
        else:
            run = app.load(arguments.run)
        report = analyse(run.model, run.assets, *read(run, changes))
    report = {"config": dataclasses.asdict(run.config), **changes, **report}
    show(report, rich.console.Console())
    out = arguments.out or (pathlib.Path(".") if arguments.toy else run.folder)
    out.mkdir(parents=True, exist_ok=True)
    chart(report, out / "char_errors.png")
    text = json.dumps(report, indent=1, ensure_ascii=False)
    (out / "char_errors.json").write_text(text, encoding="utf-8")
    print(f"written: {out / 'char_errors.png'} and {out / 'char_errors.json'}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
