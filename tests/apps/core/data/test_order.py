"""The order of examples is a pure function of (seed, step)."""

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.data.order import index_batches


def take(dataset, count):
    return [(int(step), indices.numpy()) for step, indices in dataset.take(count)]


def test_every_example_once_per_pass():
    visible = np.concatenate([i for _, i in take(index_batches(12, 5, seed=1), 12)])
    passes = visible.reshape(5, 12)
    for order in passes:
        assert sorted(order) == list(range(12))
    assert len({tuple(order) for order in passes}) == 5, "two passes in one order"


@pytest.mark.parametrize("batch_size", [3, 5, 12, 31])
def test_skipping_equals_starting_later(batch_size):
    whole = take(index_batches(12, batch_size, seed=1), 14)
    for first in (1, 4, 9):
        later = take(index_batches(12, batch_size, seed=1, first_step=first), 5)
        assert [step for step, _ in later] == list(range(first, first + 5))
        for (_, a), (_, b) in zip(later, whole[first:], strict=False):
            np.testing.assert_array_equal(a, b)


def test_order_depends_on_the_seed_alone():
    tf.random.set_seed(1)
    first = take(index_batches(20, 20, seed=7), 2)
    tf.random.set_seed(2)
    again = take(index_batches(20, 20, seed=7), 2)
    for (_, a), (_, b) in zip(again, first, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(take(index_batches(20, 20, seed=8), 1)[0][1], first[0][1])


def test_no_examples_is_an_error():
    with pytest.raises(ValueError, match="at least one example"):
        index_batches(0, 4, seed=0)
