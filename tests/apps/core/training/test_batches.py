"""Batches of examples: every row, in the right order, padded to a few widths."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.data.order import WINDOW, length_batches
from saccade.apps.core.data.parts import Part
from saccade.apps.core.data.rows import Examples
from saccade.apps.core.inputs.kinds import Text
from saccade.apps.core.tasks.task import Pairs, Task
from saccade.apps.core.training import batches


@dataclasses.dataclass
class Config:
    batch_size: int = 4
    seed: int = 3
    jit: bool = False


class Letters(Task):
    """Texts of letters as their codes; the target is the number of the row."""

    def kinds(self):
        return {"text": Text(["a", "b"])}

    def features(self, values):
        return {"ids": tf.strings.unicode_decode(values["text"], "UTF-8").to_tensor()}

    def targets(self, examples):
        rows = np.arange(len(examples))
        owner = np.repeat(rows, 2)  # every row is two pairs
        return Pairs(owner, {"row": owner}, weights={"row": [[1.0]] * len(owner)})


TEXTS = ["x" * (1 + i % 9) for i in range(30)]


def some(steps, first=0, part=None, **settings):
    task = Letters(Config(**settings))
    stream = batches.of_examples(task, Examples(text=TEXTS))
    dataset = stream(first) if part is None else stream(first, part)
    return [
        [tensor.numpy() for tensor in (x["ids"], y["row"], w["row"])]
        for x, y, w in dataset.take(steps)
    ]


def test_inputs_belong_to_their_targets():
    for ids, rows, weights in some(20):
        assert ids.shape[0] == rows.shape[0] == 4
        assert weights.dtype == np.float32
        lengths = (ids != 0).sum(axis=1)
        assert lengths.tolist() == [len(TEXTS[row]) for row in rows]


def test_every_pair_comes_once_a_pass():
    # 60 pairs are 15 batches; a window is longer, so passes mix inside of it, and only
    # whole windows and whole passes can be counted: the least common multiple.
    rows = np.concatenate([rows for _, rows, _ in some(15 * WINDOW)])
    assert np.bincount(rows).tolist() == [2 * WINDOW] * 30


def test_going_on_at_a_step_gives_the_same_batches():
    whole = some(50)
    for first in (1, 31, 32, 33):
        later = some(3, first)
        for got, expected in zip(later, whole[first : first + 3], strict=True):
            for a, b in zip(got, expected, strict=True):
                np.testing.assert_array_equal(a, b)


def test_parts_side_by_side_are_the_whole():
    whole = some(5)
    halves = [some(5, part=Part(i, 2)) for i in range(2)]
    for step, (_, rows, _) in enumerate(whole):
        parts = [half[step][1] for half in halves]
        np.testing.assert_array_equal(np.concatenate(parts), rows)


def test_batches_hold_similar_lengths_in_few_widths():
    found = some(WINDOW)
    widths = {ids.shape[1] for ids, _, _ in found}
    assert widths <= {4, 6, 8, 9}
    padding = np.mean([(ids == 0).mean() for ids, _, _ in found])
    assert padding < 0.25
    assert len({ids.shape[1] for ids, _, _ in some(WINDOW, jit=True)}) <= 4


def test_the_order_of_lengths_depends_on_the_seed_and_the_window():
    lengths = tf.constant([len(text) for text in TEXTS])

    def rows(seed):
        return [b.numpy().tolist() for _, b in length_batches(lengths, 5, seed).take(9)]

    assert rows(1) == rows(1) != rows(2)


@pytest.mark.parametrize(
    ("length", "width"), [(0, 4), (1, 4), (4, 4), (5, 6), (7, 7), (8, 14), (15, 21)]
)
def test_width_of(length, width):
    assert int(batches.width_of(tf.constant(length), [4, 6, 7])) == width


def test_widths_for():
    lengths = tf.constant([1] * 50 + [5] * 30 + [20] * 15 + [99] * 5)
    assert batches.widths_for(lengths, few=True) == [1, 5, 20, 99]
    many = batches.widths_for(lengths, few=False)
    assert many == [4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 99]
    assert batches.widths_for(tf.constant([0, 0]), few=False) == [1]


def test_lists_of_different_lengths_are_padded():
    column = batches.dense([[1, 2, 3], [], [4]])
    np.testing.assert_array_equal(column, [[1, 2, 3], [0, 0, 0], [4, 0, 0]])


class Pairwise(Letters):
    """Every row is a pair with a target of its own length, as long as its steps."""

    def targets(self, examples):
        own = [[1 + row] * (1 + row % 7) for row in range(len(examples))]
        weights = [[1.0] * len(row) for row in own]
        return Pairs(np.arange(len(own)), {"y": own}, {"before": own}, {"y": weights})


@pytest.mark.parametrize("jit", [False, True])
def test_pairs_are_as_wide_as_the_longest_of_their_batch(jit):
    task = Pairwise(Config(jit=jit))
    stream = batches.of_examples(task, Examples(text=TEXTS))(0)
    widths, longest, seen = set(), [], []
    for x, y, w in stream.take(WINDOW):
        lengths = w["y"].numpy().sum(axis=1).astype(int)
        before, after = x["before"].numpy(), y["y"].numpy()
        np.testing.assert_array_equal(before, after)
        assert ((after != 0).sum(axis=1) == lengths).all()
        assert (lengths == 1 + (after[:, 0] - 1) % 7).all()
        text_lengths = (x["ids"].numpy() != 0).sum(axis=1)
        assert (text_lengths == 1 + (after[:, 0] - 1) % 9).all()
        widths.add(after.shape[1])
        longest.append((lengths.max(), after.shape[1]))
        seen += after[:, 0].tolist()
    if jit:  # each width is a compilation
        assert len(widths) <= len(batches.QUANTILES)
        assert all(most <= width for most, width in longest)
    else:
        assert all(most == width for most, width in longest)
        assert len(widths) > len(batches.QUANTILES)
    assert set(seen) == set(range(1, 31))
