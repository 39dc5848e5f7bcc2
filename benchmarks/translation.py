"""What a run of translation gets right, and beside it a run without attention.

    python benchmarks/translation.py RUN                 scores of the test split
    python benchmarks/translation.py RUN OTHER_RUN --plot by_length.png

translates the test split of a run's data, or that of `--data`, and prints BLEU and
chrF with the signatures that say how sacrebleu counted, and lower-cased BLEU. Then
apart for

- seen sentences, which stand word by word among those that the run was trained on, or
  one of whose references does, and unseen ones;
- of a run on the builtin dates instead: the test split, and dates by patterns that
  the builtin data lacks; exact match, in percent.

OTHER_RUN is trained on the same data, for instance with --attention none. Then come
also

- paired bootstrap resampling (Koehn 2004, "Statistical significance tests for machine
  translation evaluation"): p, how often chance alone makes two equally good systems
  differ so much, by a thousand samples of the test split;
- BLEU by length: the test split in five parts of equally many sentences, from the
  shortest to the longest source. A decoder without attention knows the source from one
  vector, whose size does not grow with the sentence: long sentences are why attention
  was invented (Bahdanau, Cho & Bengio 2015). `--plot FILE` draws that table.

    --quick         a few sentences and samples: no figures from it
"""

import argparse
import dataclasses
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["SACREBLEU_SEED"] = "12345"  # its default, whatever the shell says

import matplotlib.figure
import numpy as np
import rich.console
import rich.table
import sacrebleu
from sacrebleu.significance import PairedTest

from saccade.apps.core.errors import UserError
from saccade.apps.core.report.metrics import streams_of
from saccade.apps.core.run import Run
from saccade.apps.translation import APP, dates, scores

PARTS = 5
SAMPLES = 1000
QUICK = {"sentences": 20, "samples": 50}


# Figures


def paired_bootstrap(ours, theirs, references, language="", samples=SAMPLES):
    """Whether two systems differ by more than chance.

    Args:
        ours, theirs: lists of str, the translations of the same sentences.
        references: for each its right translations, list of str.
        language: as in `scores.figures`. samples: of the test split.

    Returns:
        dict of `bleu` and `chrf` -> p; the least that it can be is 1 / (samples + 1).
    """
    metrics = {"bleu": sacrebleu.BLEU(tokenize=scores.tokenizer_of(language))}
    metrics["chrf"] = sacrebleu.CHRF()
    systems = [("theirs", theirs), ("ours", ours)]
    streams = streams_of(references)
    _, found = PairedTest(systems, metrics, streams, "bs", samples)()
    p = {}
    for name, column in {"bleu": "BLEU", "chrf": "chrF2"}.items():
        first, second = found[column]
        # Of two equal systems sacrebleu counts no sample, and says 1 / (samples + 1).
        p[name] = second.p_value if first.score != second.score else 1.0
    return p


def by_length(lengths, systems, references, language=""):
    """BLEU from the shortest sources to the longest.

    Args:
        lengths: int (sentences,), at least `PARTS`: tokens of each source.
        systems: name -> translations, list of str. references, language: as in
            `scores.figures`.

    Returns:
        list of PARTS dicts: `tokens`, "shortest to longest"; `sentences`, how many; and
        the BLEU of each name.
    """
    if len(lengths) < PARTS:
        raise UserError(
            f"Expected at least {PARTS} sentences in the test split, one for each part "
            f"by length; received {len(lengths)}."
        )
    lengths, rows = np.asarray(lengths), []
    for part in np.array_split(np.argsort(lengths, kind="stable"), PARTS):
        ends = f"{lengths[part[0]]} to {lengths[part[-1]]}"
        bleu = {
            name: figures_of(texts, references, part, language)["bleu"]
            for name, texts in systems.items()
        }
        rows.append({"tokens": ends, "sentences": len(part), **bleu})
    return rows


def is_seen(references, trained):
    """Of which sentences a reference is among the translations of the training split:
    bool (sentences,).

    Args:
        references, trained: for each sentence its translations, list of str.
    """
    known = {text for several in trained for text in several}
    return np.array([not known.isdisjoint(several) for several in references], bool)


def by_seen(texts, references, seen, language=""):
    """ "seen" and "unseen" -> figures of that part, see `scores.figures`; of an empty
    one only `sentences`, 0."""
    parts = {"seen": np.flatnonzero(seen), "unseen": np.flatnonzero(~seen)}
    return {
        name: figures_of(texts, references, part, language)
        for name, part in parts.items()
    }


def figures_of(texts, references, part, language=""):
    """`scores.figures` of some sentences, by their numbers."""
    if not len(part):
        return {"sentences": 0}
    chosen = [texts[i] for i in part], [references[i] for i in part]
    return scores.figures(*chosen, language)


# Runs


def load(path):
    """A run of translation and its splits, which are those that it was trained on."""
    run = APP.load(path)
    if not isinstance(run, Run):
        raise UserError(f"{path} is an export; expected a run's folder.")
    splits = run.task.read()
    trained = json.loads((run.folder / "data.json").read_text("utf-8"))
    if trained["sha256"] != splits.sha256:
        raise UserError(
            f"{path}: the data in {run.config.data} has changed since this run was "
            "trained. Bring the old data back, or train it anew."
        )
    return run, splits


def expect_same_data(first, second):
    """first, second: what `load` returned."""
    (run, splits), (other, others) = first, second
    if splits.sha256 != others.sha256 or languages(run) != languages(other):
        raise UserError(
            "Expected two runs that were trained on the same data; "
            f"{run.folder} read {run.config.data} ({languages(run)}), "
            f"{other.folder} read {other.config.data} ({languages(other)})."
        )


def languages(run):
    return f"{run.config.source} to {run.config.target}"


def test_split(run, splits, data):
    """The examples of the test split of the run's data, or of a value of --data."""
    task, test = run.task, splits.test
    if data is not None:
        task = task.bound(dataclasses.replace(run.config, data=data))
        test = task.read().test
    if not len(test):
        raise UserError(f"The test split is empty, because {task.why_no_test()}.")
    return test


def translate(run, examples, options):
    """The translation of each text, list of str."""
    answers = run.predict(examples.requests(run.task.kinds()), **options)
    return [answer["translation"] for answer in answers]


def unseen_patterns(run, options, most):
    """`scores.figures` of dates by patterns that the builtin data lacks."""
    examples = dates.unseen(run.config)[:most]
    texts = translate(run, examples, options)
    return scores.figures(texts, examples["translations"])


# What is printed


def show(console, title, rows):
    """rows: list of dicts with the same keys, the first of which is text."""
    table = rich.table.Table(box=None)
    for i, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if i else "left", overflow="fold")
    for row in rows:
        cells = (f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values())
        table.add_row(*cells)
    console.print(f"\n{title}", markup=False, soft_wrap=True)
    console.print(table)


def names_of(paths):
    """What the runs are called: their folders' names where those differ."""
    names = [pathlib.Path(path).name for path in paths]
    return names if all(names) and len(set(names)) == len(names) else paths


def row_of(name, figures, keys):
    return {"": name} | {
        heading: figures.get(key, "-") for heading, key in keys.items()
    }


MAIN = {"BLEU": "bleu", "chrF": "chrf", "lower-cased BLEU": "bleu_lower"}
PART = {"sentences": "sentences", "BLEU": "bleu", "chrF": "chrf"}
EXACT = {"dates": "sentences", "exact match, %": "exact_match"}


def plot(rows, names, what, path):
    figure = matplotlib.figure.Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for name in names:
        axes.plot(range(PARTS), [row[name] for row in rows], "o-", label=name)
    ticks = [f"{row['tokens']}\n{row['sentences']} sentences" for row in rows]
    axes.set_xticks(range(PARTS), ticks, fontsize=8)
    axes.set(xlabel="tokens of the source", ylabel="BLEU", title=what)
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path, dpi=110)


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="one folder, or two")
    parser.add_argument("--data", help="whose test split; default: the run's own")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--length-penalty", type=float, default=1.0)
    parser.add_argument("--plot", help="a .png, .svg or .pdf of BLEU by length")
    parser.add_argument(
        "--quick", action="store_true", help="a toy: no figures from it"
    )
    arguments = parser.parse_args(words)
    if len(arguments.runs) > 2:
        raise UserError(f"Expected one run or two; received {len(arguments.runs)}.")
    if arguments.plot and len(arguments.runs) < 2:
        raise UserError("--plot draws two runs by length: name OTHER_RUN.")
    if len(set(arguments.runs)) < len(arguments.runs):
        raise UserError(f"Expected two runs; received {arguments.runs[0]} twice.")
    loaded = dict(zip(names_of(arguments.runs), map(load, arguments.runs), strict=True))
    (run, splits), *others = loaded.values()
    for other in others:
        expect_same_data((run, splits), other)
    options = {"beam": arguments.beam, "length_penalty": arguments.length_penalty}
    most = QUICK["sentences"] if arguments.quick else None
    test = test_split(run, splits, arguments.data)[:most]
    references, language = test["translations"], run.config.target

    console = rich.console.Console(width=100)
    systems = {n: translate(one, test, options) for n, (one, _) in loaded.items()}
    figures = {
        name: scores.figures(texts, references, language)
        for name, texts in systems.items()
    }
    rows = [row_of(name, found, MAIN) for name, found in figures.items()]
    title = f"{arguments.data or run.config.data}: {len(test)} sentences, beam "
    title += f"{arguments.beam}, length penalty {arguments.length_penalty:g}"
    show(console, title, rows)
    found = next(iter(figures.values()))
    for name in ("bleu", "chrf"):
        console.print(f"{name}: {found[f'{name}_signature']}", soft_wrap=True)

    for name, (one, own) in loaded.items():
        if one.config.data == "builtin" and arguments.data is None:
            parts = {"test split": figures[name]}
            parts["unseen patterns"] = unseen_patterns(one, options, most)
            keys = EXACT
        else:
            seen = is_seen(references, own.train["translations"])
            seen |= np.isin(test["text"], own.train["text"])
            parts = by_seen(systems[name], references, seen, language)
            keys = PART
        rows = [row_of(part, found, keys) for part, found in parts.items()]
        show(console, name, rows)
    if not others:
        return

    samples = QUICK["samples"] if arguments.quick else SAMPLES
    p = paired_bootstrap(*systems.values(), references, language, samples)
    console.print(
        f"\nPaired bootstrap resampling, {samples} samples: p = {p['bleu']:.3g} by "
        f"BLEU, {p['chrf']:.3g} by chrF."
    )
    lengths = run.assets.source.lengths(test["text"])
    rows = by_length(lengths, systems, references, language)
    show(console, "BLEU by tokens of the source", rows)
    if arguments.plot:
        plot(rows, systems, f"BLEU by length, {languages(run)}", arguments.plot)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
