"""Verification: do two pictures show the same person? Figures and pictures of it."""

import numpy as np
from matplotlib.figure import Figure

from ..core.report.plot import fonts

NEAREST = 5  # pictures beside each one
FAR = 0.01  # false accept rate at which thresholds are read off


def distances(embeddings, others):
    """Of every row (n, size) to every other's (m, size), of length 1 each: (n, m)."""
    cosines = np.asarray(embeddings) @ np.asarray(others).T
    return np.sqrt(np.maximum(2 - 2 * cosines, 0))


def pairs(embeddings, labels):
    """Every two pictures: their distance, float (pairs,), and whether they show the
    same person, bool (pairs,)."""
    first, second = np.triu_indices(len(labels), 1)
    labels = np.asarray(labels)
    same = labels[first] == labels[second]
    return distances(embeddings, embeddings)[first, second], same


def figures(distance, same):
    """How well a distance tells pairs of one person from others.

    Args:
        distance: float (pairs,). same: bool (pairs,), both True and False in it.

    Returns:
        dict with, in percent but for the last,
        auc: the area under the ROC curve;
        eer: the equal error rate, where as many pairs of two persons are accepted as
            pairs of one are refused;
        tar_at_far_1: pairs of one person that are accepted (true accept rate) at the
            threshold at which 1 % of the others are (false accept rate);
        threshold_at_far_1: that threshold, a distance.
    """
    from sklearn.metrics import auc

    far, tar, thresholds = curve(distance, same)
    equal, strict = equal_error(far, tar), at_far(far, tar)
    return {
        "auc": 100 * float(auc(far, tar)),
        "eer": 50 * float(far[equal] + 1 - tar[equal]),
        "tar_at_far_1": 100 * float(tar[strict]),
        "threshold_at_far_1": float(thresholds[strict]),
    }


def curve(distance, same):
    """The ROC curve: false accept rate, true accept rate, and the distance up to which
    a pair is accepted; float (points,) each."""
    from sklearn.metrics import roc_curve

    far, tar, scores = roc_curve(same, -distance, drop_intermediate=False)
    return far, tar, np.maximum(-scores, 0)  # the first point accepts nothing


def equal_error(far, tar):
    """The point of a curve at which both errors are as near as can be, int."""
    return int(np.argmin(np.abs(far - (1 - tar))))


def at_far(far, tar):
    """The last point of a curve that accepts `FAR` of the pairs of two at most, int."""
    return int(np.searchsorted(far, FAR, side="right")) - 1


def threshold(distance, same, choose):
    """The distance at a point of the curve that `choose` (`at_far`, `equal_error`)
    takes; 1 where there are not both kinds of pairs."""
    if same.all() or not same.any():
        return 1.0
    far, tar, thresholds = curve(distance, same)
    point = choose(far, tar)
    return float(thresholds[point])


def roc_figure(distance, same, title):
    """The ROC curve, its false accept rate on a logarithmic axis."""
    far, tar, _ = curve(distance, same)
    found = figures(distance, same)
    figure = Figure((5, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot(100 * far, 100 * tar, label=f"AUC {found['auc']:.1f} %")
    eer, tar_at, limit = (
        found[name] for name in ("eer", "tar_at_far_1", "threshold_at_far_1")
    )
    axes.plot(eer, 100 - eer, "o", label=f"equal error rate {eer:.1f} %")
    strict = f"{tar_at:.1f} % at 1 % (distance {limit:.2f})"
    axes.plot(100 * FAR, tar_at, "s", label=strict)
    axes.set_xscale("log")
    axes.set_xlim(0.1, 100)
    axes.set_xlabel("pairs of two persons that are taken for one, %", fontsize=8)
    axes.set_ylabel("pairs of one person that are recognised, %", fontsize=8)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def nearest_figure(pictures, titles, embeddings):
    """Every picture, and beside it the nearest of the others with their distances.

    Args:
        pictures: list of uint8 (height, width, 3), two at least. titles: str each.
        embeddings: float (pictures, size), of length 1.
    """
    apart = distances(embeddings, embeddings)
    np.fill_diagonal(apart, np.inf)
    columns = 1 + min(NEAREST, len(pictures) - 1)
    size = 1.3 * columns, 1.6 * len(pictures) + 0.3
    figure = Figure(size, dpi=90, layout="constrained")
    grid = figure.subplots(len(pictures), columns, squeeze=False)
    for i, row in enumerate(grid):
        nearest = np.argsort(apart[i], kind="stable")[: columns - 1]
        for axes, j in zip(row, [i, *nearest], strict=True):
            axes.imshow(pictures[j])
            axes.set_axis_off()
            above = titles[j] if j == i else f"{apart[i, j]:.2f}  {titles[j]}"
            axes.set_title(above, fontsize=7, fontfamily=fonts(), parse_math=False)
    figure.supxlabel("left: the picture; then the nearest, with distances", fontsize=8)
    return figure
