"""Figures of verification, beside counts of all pairs one by one."""

import itertools

import numpy as np
import pytest

from saccade.apps.faces import verification


def drawn(noise):
    """Embeddings of 8 persons with 6 pictures each, and their labels."""
    draw = np.random.default_rng(0)
    centres = np.repeat(draw.normal(size=(8, 5)), 6, axis=0)
    vectors = centres + noise * draw.normal(size=centres.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, np.repeat([*"abcdefgh"], 6)


def test_pairs_are_all_pairs_once():
    vectors, labels = drawn(0.5)
    distance, same = verification.pairs(vectors, labels)
    both = list(itertools.combinations(range(len(labels)), 2))
    assert len(distance) == len(both) == 48 * 47 / 2
    assert same.sum() == 8 * 6 * 5 / 2
    for k, (i, j) in enumerate(both):
        assert distance[k] == pytest.approx(np.linalg.norm(vectors[i] - vectors[j]))
        assert same[k] == (labels[i] == labels[j])


def test_figures_are_those_of_counting():
    distance, same = verification.pairs(*drawn(0.8))
    found = verification.figures(distance, same)
    one, two = distance[same], distance[~same]
    # The AUC: how often a pair of one person is nearer than one of two.
    nearer = one[:, None] < two[None]
    assert found["auc"] == pytest.approx(100 * nearer.mean())
    limit = found["threshold_at_far_1"]
    assert np.mean(two <= limit) <= 0.01 < np.mean(two <= np.nextafter(limit, 2) + 0.02)
    assert found["tar_at_far_1"] == pytest.approx(100 * np.mean(one <= limit))
    errors = [(np.mean(two <= at), np.mean(one > at)) for at in np.sort(distance)]
    far, frr = min(errors, key=lambda pair: abs(pair[0] - pair[1]))
    assert found["eer"] == pytest.approx(50 * (far + frr), abs=0.2)
    assert 0 < found["eer"] < 50


def test_perfect_and_useless_distances():
    distance, same = verification.pairs(*drawn(0.0))
    found = verification.figures(distance, same)
    assert (found["auc"], found["eer"], found["tar_at_far_1"]) == (100, 0, 100)
    shuffled = np.random.default_rng(1).permutation(same)
    useless = verification.figures(distance + 1e-3 * np.arange(len(same)), shuffled)
    assert 40 < useless["auc"] < 60 and 40 < useless["eer"] < 60


def test_the_threshold_of_one_kind_of_pairs_is_one():
    distance = np.array([0.1, 0.2, 0.9])
    for same in (np.full(3, True), np.full(3, False)):
        threshold = verification.threshold(distance, same, verification.equal_error)
        assert threshold == 1


def test_the_threshold_of_equal_errors_lies_between_the_two():
    distance, same = (
        np.array([0.2, 0.3, 0.8, 0.9]),
        np.array([True, True, False, False]),
    )
    at = verification.threshold(distance, same, verification.equal_error)
    assert 0.3 <= at < 0.8
