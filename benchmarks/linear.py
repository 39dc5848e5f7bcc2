"""What a text's n-grams tell without any network: the linear rival of a sentiment run.

    python benchmarks/linear.py RUN

reads the data of a run of `sentiment` again, fits three rivals to its training split,
and measures them and the network on the same rows of its test split:

    majority        the commonest label, always
    naive Bayes     multinomial, on which n-grams there are
    linear          logistic regression on n-grams that naive Bayes has weighted (Wang &
                    Manning 2012, "Baselines and bigrams", section 2.3), one against the
                    rest where labels are several; the labels count alike, and the
                    strength of the L2 penalty is the one that does best on the
                    validation split
    network         the run's own answers

n-grams are 1 to 3 characters, or of a run that reads words 1 or 2 words; those in one
text only are left out. A text with a topic is read as "topic：text".

McNemar's test (1947) says whether network and linear model differ by more than chance:
of the texts that only one of them got right, each would have half. Its p is exact,
from the binomial distribution.

    --json FILE     also writes all figures there

About half a minute for ten thousand texts.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import rich.console
import rich.table
from scipy.stats import binomtest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB

from saccade.apps.core.errors import UserError
from saccade.apps.sentiment import APP

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)  # C of the LogisticRegression


def log_count_ratios(counts, positive, smoothing=1.0):
    """r = log((p / sum(p)) / (q / sum(q))) of every feature, where p is `smoothing` and
    its count in the positive texts, q that in the others (Wang & Manning 2012, 2.1).

    Args:
        counts: sparse (texts, features). positive: bool (texts,).

    Returns:
        float64 (features,).
    """
    p, q = (
        smoothing + np.asarray(counts[chosen].sum(axis=0), float).ravel()
        for chosen in (positive, ~positive)
    )
    return np.log(p / p.sum()) - np.log(q / q.sum())


class NBLogisticRegression(ClassifierMixin, BaseEstimator):
    """Logistic regression on features times their `log_count_ratios`, of two classes.

    Args:
        C: the inverse of the penalty, as in `sklearn.linear_model.LogisticRegression`.
    """

    def __init__(self, C=1.0):
        self.C = C

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.ratios_ = log_count_ratios(X, y == self.classes_[1])
        self.linear_ = LogisticRegression(
            C=self.C, class_weight="balanced", solver="liblinear", max_iter=1000
        )
        self.linear_.fit(X.multiply(self.ratios_).tocsr(), y)
        return self

    def decision_function(self, X):
        return self.linear_.decision_function(X.multiply(self.ratios_).tocsr())

    def predict(self, X):
        return self.linear_.predict(X.multiply(self.ratios_).tocsr())


def rivals(splits, config):
    """The answers of all but the network on the test split.

    Args:
        splits: with the columns `text`, `label` and perhaps `topic`, all str.
        config: whose `tokenizer` and `lower` say what an n-gram is.

    Returns:
        dict rival -> list of labels; C of the linear model.
    """
    counted = CountVectorizer(
        lowercase=config.lower, binary=True, min_df=2, **ngrams(config.tokenizer)
    )
    train = counted.fit_transform(texts_of(splits.train))
    validation = counted.transform(texts_of(splits.validation))
    test = counted.transform(texts_of(splits.test))
    labels = np.array(splits.train["label"])

    by_penalty = {
        C: OneVsRestClassifier(NBLogisticRegression(C)).fit(train, labels)
        for C in PENALTIES
    }

    def macro_f1(C):
        answers = by_penalty[C].predict(validation)
        return scores(answers, splits.validation["label"])["macro_f1"]

    best = max(PENALTIES, key=macro_f1)
    models = {
        "majority": DummyClassifier().fit(train, labels),
        "naive Bayes": MultinomialNB().fit(train, labels),
        "linear": by_penalty[best],
    }
    return {name: m.predict(test).tolist() for name, m in models.items()}, best


def scores(answers, references):
    """In percent."""
    return {
        "accuracy": 100 * accuracy_score(references, answers),
        "macro_f1": 100 * f1_score(references, answers, average="macro"),
    }


def ngrams(tokenizer):
    """What a CountVectorizer counts, for a value of --tokenizer."""
    if tokenizer == "words":
        # A mark is a word, as in the run's own tokenizer.
        return {"token_pattern": r"\w+|[^\w\s]", "ngram_range": (1, 2)}
    return {"analyzer": "char", "ngram_range": (1, 3)}


def texts_of(examples):
    """The texts, each behind its topic where there are topics."""
    if "topic" not in examples:
        return examples["text"]
    pairs = zip(examples["topic"], examples["text"], strict=True)
    return [f"{topic}：{text}" for topic, text in pairs]


def mcnemar(ours, theirs, references):
    """Texts that one of two classifiers alone got right, and McNemar's exact p.

    Args:
        ours, theirs, references: lists of labels.

    Returns:
        dict with only_ours and only_theirs, int, and p: how likely a split as uneven is
        where both are equally good; 1 where they never differ.
    """
    right = [(a == r, b == r) for a, b, r in zip(ours, theirs, references, strict=True)]
    only_ours, only_theirs = right.count((True, False)), right.count((False, True))
    differ = only_ours + only_theirs
    p = binomtest(only_ours, differ).pvalue if differ else 1.0
    return {"only_ours": only_ours, "only_theirs": only_theirs, "p": float(p)}


def measure(run):
    """All figures of a run, for JSON."""
    splits = run.task.read()
    if not len(splits.test) or not len(splits.validation):
        raise UserError(
            "Expected a validation split and a test split with rows; received "
            f"{len(splits.validation)} and {len(splits.test)}. Train a run with others "
            "by --split."
        )
    answers, penalty = rivals(splits, run.config)
    asked = run.predict(splits.test.requests(run.task.kinds()))
    answers["network"] = [answer["label"] for answer in asked]
    references = splits.test["label"]
    rows = {}
    for name, labels in answers.items():
        rows[name] = scores(labels, references)
    parts = (splits.train, splits.validation, splits.test)
    return {
        "rows": rows,
        "mcnemar": mcnemar(answers["network"], answers["linear"], references),
        "C": penalty,
        "texts": [len(part) for part in parts],
        "data": pathlib.Path(run.config.data).name,
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="the folder of a run of sentiment")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args(arguments)

    report = measure(APP.load(options.run))
    table = rich.table.Table("%", "accuracy", "macro F1", box=None)
    for name, figures in report["rows"].items():
        table.add_row(name, *(f"{figure:.1f}" for figure in figures.values()))
    console = rich.console.Console()
    console.print(table)
    train, validation, test = report["texts"]
    console.print(
        f"{report['data']}: {train} texts to learn from, {validation} for the choice "
        f"of C = {report['C']:g}, {test} for the test."
    )
    differ = report["mcnemar"]
    console.print(
        f"Right alone: the network {differ['only_ours']} times, the linear model "
        f"{differ['only_theirs']} times; McNemar's p = {differ['p']:.2g}."
    )
    if options.json:
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        options.json.write_text(text, "utf-8")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
