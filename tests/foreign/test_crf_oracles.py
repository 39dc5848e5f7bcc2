"""The CRF against pytorch-crf (`torchcrf`), with random numbers everywhere.

It is an extra ("oracle"), as torch is. Its rows are padded at the right and have a
step at least; it computes in float64 here, ours in float32.
"""

import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import CRF, CRFLoss, crf

from .oracle_cases import each_seed, need, oracle, same

# Batch, steps, tags; how far the numbers spread; what float32 may lose. Where they
# spread most, ours sums in another way.
SIZES = {
    "small": (3, 6, 4, 1.0, 1e-5),
    "one step": (3, 1, 5, 1.0, 1e-5),
    "one tag": (3, 4, 1, 1.0, 1e-5),
    "many tags": (4, 12, 40, 1.0, 3e-5),
    "many steps": (4, 60, 7, 1.0, 1e-3),
    "wide": (4, 8, 6, 40.0, 2e-3),
}
each_size = pytest.mark.parametrize("size", SIZES)


class Case:
    """Scores (batch, steps, tags), parameters in the order of our weights, a path, a
    mask and weights of the rows."""

    def __init__(self, size, seed):
        batch, steps, tags, spread, self.atol = SIZES[size]
        draw = np.random.default_rng(seed)

        def normal(*shape):
            return (spread * draw.standard_normal(shape)).astype("float32")

        self.scores = normal(batch, steps, tags)
        self.parameters = [normal(tags, tags), normal(tags), normal(tags)]
        self.tags = draw.integers(tags, size=(batch, steps))
        lengths = draw.integers(1, steps + 1, size=batch)
        lengths[0] = steps
        self.mask = np.arange(steps) < lengths[:, None]
        self.weights = draw.uniform(0.5, 2.0, size=batch).astype("float32")

    def ours(self):
        layer = CRF(self.scores.shape[-1])
        layer.build(self.scores.shape)
        layer.set_weights(self.parameters)
        return layer

    def theirs(self):
        """(torch, a float64 `torchcrf.CRF`, its parameters in the order of ours)."""
        torch, torchcrf = need("torch"), need("torchcrf")
        module = torchcrf.CRF(self.scores.shape[-1], batch_first=True).double()
        parameters = (
            module.transitions,
            module.start_transitions,
            module.end_transitions,
        )
        with torch.no_grad():
            for theirs, value in zip(parameters, self.parameters, strict=True):
                theirs.copy_(torch.tensor(value))
        return torch, module, parameters


@oracle
@each_seed
@each_size
def test_log_likelihood_and_all_gradients_equal_torchcrf(size, seed):
    case = Case(size, seed)
    torch, module, parameters = case.theirs()
    scores = torch.tensor(case.scores, dtype=torch.float64, requires_grad=True)
    expected = module(
        scores, torch.tensor(case.tags), torch.tensor(case.mask), reduction="none"
    )
    # At one step nothing depends on the transitions: zeros then, not None.
    theirs = torch.autograd.grad(
        (expected * torch.tensor(case.weights)).sum(),
        [scores, *parameters],
        materialize_grads=True,
    )

    layer, inputs = case.ours(), tf.constant(case.scores)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        potentials = layer(inputs, mask=case.mask)
        found = -CRFLoss(reduction="none")(case.tags, potentials)
        total = tf.reduce_sum(found * case.weights)
    gradients = tape.gradient(total, [inputs, *layer.trainable_variables])
    same([found], [expected.detach()], atol=case.atol)
    same(gradients, theirs, atol=case.atol)


@oracle
@each_seed
@each_size
def test_best_paths_equal_torchcrf(size, seed):
    case = Case(size, seed)
    torch, module, _ = case.theirs()
    expected = module.decode(
        torch.tensor(case.scores, dtype=torch.float64), torch.tensor(case.mask)
    )
    tags, _ = crf.viterbi(crf.unpack(case.ours()(case.scores, mask=case.mask)))
    rows = zip(np.asarray(tags), case.mask, strict=True)
    assert [row[counts].tolist() for row, counts in rows] == expected
