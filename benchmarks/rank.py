"""Which of two sentences that sound alike is the right one?

    python benchmarks/rank.py --data "$SACCADE_DATA/pos_ner_zh_peoples_daily_199801"

trains `word_lm` on the first 90 % of a Chinese text, makes 200 pairs of a right and a
wrong sentence from the rest (`confusions` beside this file says how), and prints
the share of pairs in which the right one gets the higher score; then the lectures' own
pair. About 5 minutes on 2 cores, and needs: pip install pypinyin

    --run RUN           a run that is there already is loaded instead, and a new one is
                        kept there
    --minutes 4         of training
    --tokenizer jieba   words instead of characters; needs: pip install jieba
    --pairs 200

A wrong sentence may hold what the network does not know, and <UNK> is likely, because
it is one token for many. Scores are therefore `rank_score`, in which the unknown share
<UNK>'s probability (`WordLM.answer_score`); the table shows beside it what the plain
log-probability says. The result is written to results/rank.json.
"""

import argparse
import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import confusions
import rich.console
import rich.table

from saccade.apps.core.data.texts import shares
from saccade.apps.core.settings.command_line import parse_overrides
from saccade.apps.word_lm import APP, data

RESULTS = pathlib.Path(__file__).parent / "results" / "rank.json"
TOKENIZERS = {
    "characters": ["--tokenizer=characters"],
    # The 10,000 most frequent words; all 28,000 that occur twice would take the time.
    "jieba": ["--tokenizer=jieba", "--vocabulary-size=10000"],
}


def trained(options):
    """The run to measure."""
    if options.run and (pathlib.Path(options.run) / "model.keras").exists():
        return APP.load(options.run)
    config = parse_overrides(
        APP.Config,
        [
            f"--data={options.data}",
            "--format=tagged",
            f"--minutes={options.minutes}",
            *TOKENIZERS[options.tokenizer],
        ],
    )
    if options.run:
        return APP.train(config, out=options.run)
    with tempfile.TemporaryDirectory() as folder:
        return APP.train(config, out=pathlib.Path(folder) / "run")


def pairs_of(config, count):
    """Pairs from what the run was not trained on."""
    training, held_out, *_ = [
        [line.split() for lines in part for line in lines]
        for part in data.cut(data.read_lines(config), shares(config.split))
    ]
    return confusions.pairs(held_out, training, count)


def measure(run, pairs):
    """Per kind of pair the percentages ranked right, and the scores of every pair."""
    lines = [line for _, *both in pairs for line in both]
    answers = run.predict(lines, signature="score")
    rows = [
        {
            "kind": kind,
            "right": right["line"],
            "wrong": wrong["line"],
            "scores": [right["rank_score"], wrong["rank_score"]],
            "log_probs": [right["log_prob"], wrong["log_prob"]],
        }
        for (kind, _, _), right, wrong in zip(
            pairs, answers[::2], answers[1::2], strict=True
        )
    ]
    percentages = {}
    for kind in ("all", *confusions.KINDS):
        some = [row for row in rows if kind in ("all", row["kind"])]
        percentages[kind] = {"pairs": len(some)} | {
            name: 100 * sum(a > b for a, b in (row[name] for row in some)) / len(some)
            for name in ("scores", "log_probs")
        }
    return percentages, rows


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--run", default="")
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--tokenizer", choices=TOKENIZERS, default="characters")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--out", default=str(RESULTS), type=pathlib.Path)
    options = parser.parse_args(arguments)

    confusions.sound("拼音")  # An error now, not after the training.
    run = trained(options)
    percentages, rows = measure(run, pairs_of(run.config, options.pairs))
    right, wrong = confusions.LECTURE
    lecture = run.predict([right, wrong], signature="score")

    console = rich.console.Console()
    table = rich.table.Table("ranked right, %", "pairs", "score", "log p", box=None)
    for kind, share in percentages.items():
        table.add_row(
            kind,
            str(share["pairs"]),
            f"{share['scores']:.1f}",
            f"{share['log_probs']:.1f}",
        )
    console.print(table)
    for answer in lecture:
        console.print(
            f"{answer['line']}  score {answer['rank_score']:.2f}, "
            f"perplexity {answer['perplexity']:.0f}, {answer['unknown']} <UNK>"
        )
    console.print("held-out text:", run.metrics)
    for row in rows:
        if row["scores"][0] <= row["scores"][1]:
            console.print("ranked wrongly:", row)
    report = {
        "tokenizer": run.config.tokenizer,
        "steps": run.config.steps,
        "batch_size": run.config.batch_size,
        "metrics": run.metrics,
        "shares": percentages,
        "lecture": lecture,
    }
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
