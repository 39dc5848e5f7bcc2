"""Figures of labels beside accuracy and F1, by scikit-learn; how saliency lies."""

import numpy as np

from ..core.inputs.sequence import TABLE
from ..core.report.metrics import many_labels


@many_labels()
def of_labels(answers, references, labels):
    """Scores of answers with `label` and `probabilities`.

    Args:
        answers: list of dicts. references: the right labels, as many. labels: of the
            model.

    Returns:
        dict with
        errors: how many are wrong;
        error_<label>: the share of a label's examples that are wrong, in percent, as
            UCI's tables have it;
        mcc: Matthews' correlation of answers and references, -1 to 1, where there are
            several labels;
        auroc, auprc: areas, in percent, under the curves of true over false positives,
            and of precision over recall (as average precision); the mean over the
            labels that some references have and some have not.
    """
    from sklearn import metrics

    truth, given = np.array(references), np.array([a["label"] for a in answers])
    wrong = given != truth
    figures = {"errors": int(wrong.sum())}
    for label in sorted(set(references)):
        figures[f"error_{label}"] = 100 * float(wrong[truth == label].mean())
    if len({*truth, *given}) > 1:  # else it is 0 / 0
        figures["mcc"] = float(metrics.matthews_corrcoef(truth, given))
    probabilities = np.array(
        [[by_label(answer).get(label, 0.0) for label in labels] for answer in answers]
    )
    areas = []
    for label, scores in zip(labels, probabilities.T, strict=True):
        is_label = truth == label
        if 0 < is_label.sum() < len(truth):
            roc = metrics.roc_auc_score(is_label, scores)
            areas.append((roc, metrics.average_precision_score(is_label, scores)))
    if areas:
        figures["auroc"], figures["auprc"] = (100 * np.mean(areas, axis=0)).tolist()
    return figures


def by_label(answer):
    """Label -> its probability; a fold may have learned other labels than the next."""
    return dict(zip(answer["labels"], answer["probabilities"], strict=True))


def on_motif(answers, planted):
    """How much of the absolute saliency lies on planted bases, in percent, and which
    share of the bases they are; of the sequences that have any.

    Args:
        answers: list of dicts with `saliency`. planted: for each a list of bool.
    """
    inside, share = [], []
    for answer, marks in zip(answers, planted, strict=True):
        weight, marks = np.abs(answer["saliency"]), np.array(marks)
        if marks.any() and weight.any():
            inside.append(weight[marks].sum() / weight.sum())
            share.append(marks.mean())
    if not inside:
        return {}
    return {
        "on_motif": 100 * float(np.mean(inside)),
        "motif_share": 100 * float(np.mean(share)),
    }


@many_labels()
def naive_bayes(train, test):
    """The accuracy, in percent, of naive Bayes with the letter at every place as its
    features; None where sequences differ in length."""
    from sklearn.naive_bayes import CategoricalNB

    if len({len(s) for part in (train, test) for s in part["sequence"]}) != 1:
        return None

    def features(part):
        return np.array([TABLE[list(s.encode())] for s in part["sequence"]])

    model = CategoricalNB(min_categories=16).fit(features(train), train["label"])
    return 100 * float(model.score(features(test), test["label"]))
