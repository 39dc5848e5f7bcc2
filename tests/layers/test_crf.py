"""The CRF against the sum over all paths, one by one."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.layers import CRF, CRFLoss, crf

SCHEMES = {
    "BIO": ["O", "B-X", "I-X", "B-Y", "I-Y"],
    "BIOES": ["O", "B-X", "I-X", "E-X", "S-X"],
    "BMES": ["B", "M", "E", "S"],
}


def chain_of(mask, tags, seed, spread=1.0):
    """Random numbers as a `Chain`, for a mask (batch, time)."""
    draw = np.random.default_rng(seed)

    def numbers(*shape):
        return (spread * draw.standard_normal(shape)).astype("float32")

    mask = np.asarray(mask, bool)
    return crf.Chain(
        numbers(*mask.shape, tags),
        mask,
        numbers(tags, tags),
        numbers(tags),
        numbers(tags),
    )


def paths_of(chain, row, allowed=None):
    """All paths of a row with their scores in float64, the best first: list of (score,
    tags of the steps that count)."""
    tags = chain.scores.shape[-1]
    scores = chain.scores[row][chain.mask[row]].astype("float64")
    found = []
    for path in itertools.product(range(tags), repeat=len(scores)):
        pairs = list(itertools.pairwise(path))
        if allowed and path:
            fine = allowed.starts[path[0]] and allowed.ends[path[-1]]
            if not (fine and all(allowed.transitions[p] for p in pairs)):
                continue
        score = sum(scores[t, k] for t, k in enumerate(path))
        score += sum(float(chain.transitions[p]) for p in pairs)
        if path:
            score += float(chain.starts[path[0]]) + float(chain.ends[path[-1]])
        found.append((score, path))
    return sorted(found, reverse=True)


def log_sum(scores):
    return np.logaddexp.reduce(scores) if len(scores) else -np.inf


def in_place(chain, row, path):
    """A path at the steps that count, 0 elsewhere: (time,)."""
    found = np.zeros(chain.mask.shape[1], int)
    found[chain.mask[row]] = path
    return found


masks = st.integers(1, 5).flatmap(
    lambda time: st.lists(
        st.lists(st.booleans(), min_size=time, max_size=time), min_size=1, max_size=3
    )
)
cases = st.builds(
    chain_of,
    masks,
    st.integers(1, 3),
    st.integers(0, 10**6),
    st.sampled_from([0.1, 1.0, 5.0, 100.0]),
)
quick = settings(max_examples=60, deadline=None)


@given(cases)
@quick
def test_log_partition_is_the_sum_over_all_paths(chain):
    found = crf.log_partition(chain)

    expected = [
        log_sum([s for s, _ in paths_of(chain, row)]) for row in range(len(chain.mask))
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(crf.forward_backward(chain).log_partition, found)


@given(cases)
@quick
def test_marginals_are_shares_of_all_paths(chain):
    found = np.array(crf.marginals(chain))

    for row in range(len(chain.mask)):
        expected = np.zeros_like(found[row])
        paths = paths_of(chain, row)
        log_z = log_sum([s for s, _ in paths])
        steps = np.flatnonzero(chain.mask[row])
        for score, path in paths:
            expected[steps, list(path)] += np.exp(score - log_z)
        np.testing.assert_allclose(found[row], expected, atol=2e-3)


@given(cases, st.integers(0, 10**6))
@quick
def test_likelihood_of_a_path_is_its_share(chain, seed):
    tags = np.random.default_rng(seed).integers(
        0, chain.scores.shape[-1], chain.mask.shape
    )

    found = crf.log_likelihood(chain, tags)

    for row in range(len(chain.mask)):
        paths = {path: score for score, path in paths_of(chain, row)}
        mine = paths[tuple(tags[row][chain.mask[row]])]
        expected = mine - log_sum(list(paths.values()))
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=2e-3)


@given(cases, st.sampled_from([1, 2, 5, 30]))
@quick
def test_n_best_are_the_best_of_all_paths(chain, n):
    tags, scores = map(np.array, crf.n_best(chain, n))

    for row in range(len(chain.mask)):
        paths = paths_of(chain, row)[:n]
        np.testing.assert_allclose(
            scores[row, : len(paths)], [s for s, _ in paths], rtol=1e-5, atol=1e-3
        )
        assert np.all(np.isneginf(scores[row, len(paths) :]))
        by_path = {path: score for score, path in paths_of(chain, row)}
        chosen = [tuple(tags[row, i][chain.mask[row]]) for i in range(len(paths))]
        assert len(set(chosen)) == len(chosen)  # none twice
        for path, score in zip(chosen, scores[row], strict=False):
            np.testing.assert_allclose(by_path[path], score, rtol=1e-5, atol=1e-3)
        assert not tags[row][:, ~chain.mask[row]].any()


@given(cases)
@quick
def test_viterbi_is_the_best(chain):
    tags, score = map(np.array, crf.viterbi(chain))
    for row in range(len(chain.mask)):
        paths = {path: score for score, path in paths_of(chain, row)}
        best = max(paths.values())
        mine = paths[tuple(tags[row][chain.mask[row]])]
        np.testing.assert_allclose([mine, score[row]], best, rtol=1e-5, atol=1e-3)
        assert not tags[row][~chain.mask[row]].any()


def test_probabilities_stay_exact_over_thousands_of_steps():
    """Their sums over the tags are 1, and a row is what it is without its padding."""
    chain = chain_of(np.ones((2, 3000)), 9, 0, 3.0)
    chain.mask[1, 2000:] = False
    marginals = tf.function(crf.marginals)  # 3,000 steps in Python take half a minute

    found = np.array(marginals(chain))

    np.testing.assert_allclose(found.sum(axis=-1)[chain.mask], 1, atol=1e-5)
    middle = chain._replace(
        scores=chain.scores[:, 1000:1040], mask=chain.mask[:, 1000:1040]
    )
    # Far from the ends, a piece by itself gives the same.
    np.testing.assert_allclose(
        found[:, 1020:1030], np.array(marginals(middle))[:, 20:30], atol=1e-3
    )


@pytest.mark.parametrize("scheme", SCHEMES)
@given(masks, st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_constraints_leave_only_what_makes_sense(scheme, mask, seed):
    allowed = crf.allowed_by(SCHEMES[scheme], scheme)
    chain = chain_of(mask, len(SCHEMES[scheme]), seed)
    chain = chain._replace(mask=chain.mask[:, :4], scores=chain.scores[:, :4])

    tags, scores = map(np.array, crf.n_best(chain, 3, allowed))

    one, score = map(np.array, crf.viterbi(chain, allowed))

    for row in range(len(chain.mask)):
        best = paths_of(chain, row, allowed)[:3]
        np.testing.assert_allclose(score[row], scores[row, 0], rtol=1e-5)
        if best:
            np.testing.assert_array_equal(one[row], tags[row, 0])
        np.testing.assert_allclose(
            scores[row, : len(best)], [s for s, _ in best], rtol=1e-4, atol=1e-3
        )
        for i, (_, path) in enumerate(best):
            np.testing.assert_array_equal(tags[row, i], in_place(chain, row, path))


@given(cases, st.integers(0, 10**6))
@quick
def test_span_probabilities_are_shares_of_all_paths(chain, seed):
    draw = np.random.default_rng(seed)
    tags = draw.integers(0, chain.scores.shape[-1], chain.mask.shape)
    spans = np.zeros((len(tags), 2, 2), int)
    for row, mask in enumerate(chain.mask):
        if mask.any():
            spans[row] = np.sort(draw.choice(np.flatnonzero(mask), (2, 2)), axis=0)

    found = crf.span_probabilities(chain, tags, spans[:, 0], spans[:, 1])

    for row, mask in enumerate(chain.mask):
        paths = paths_of(chain, row) if mask.any() else []
        log_z = log_sum([s for s, _ in paths])
        for i in range(2 if mask.any() else 0):
            inside = mask & (np.arange(len(mask)) >= spans[row, 0, i])
            inside &= np.arange(len(mask)) <= spans[row, 1, i]
            expected = sum(
                np.exp(score - log_z)
                for score, path in paths
                if (in_place(chain, row, path) == tags[row])[inside].all()
            )
            np.testing.assert_allclose(found[row, i], expected, atol=5e-3)


@pytest.mark.parametrize("spread", [0.5, 3.0, 60.0])  # of the last, the slow product
def test_gradients_are_those_of_the_sum_over_all_paths(spread):
    mask = [[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    chain = chain_of(mask, 3, 0, spread)
    weights = np.array([1.0, -0.5, 2.0, 3.0], "float32")
    variables = [tf.Variable(chain[i]) for i in (0, 2, 3, 4)]

    def made():
        scores, transitions, starts, ends = variables
        return crf.Chain(scores, tf.constant(chain.mask), transitions, starts, ends)

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weights * crf.log_partition(made()))
    found = tape.gradient(total, variables)

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weights * by_enumeration(made()))
    expected = tape.gradient(total, variables)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def by_enumeration(chain):
    """log Z as TensorFlow differentiates it, of all paths."""
    rows = []
    for row, mask in enumerate(chain.mask.numpy()):
        steps = np.flatnonzero(mask)
        totals = []
        for path in itertools.product(range(3), repeat=len(steps)):
            total = tf.zeros([])
            for t, k in zip(steps, path, strict=True):
                total += chain.scores[row, t, k]
            for a, b in itertools.pairwise(path):
                total += chain.transitions[a, b]
            if path:
                total += chain.starts[path[0]] + chain.ends[path[-1]]
            totals.append(total)
        rows.append(tf.reduce_logsumexp(tf.stack(totals)))
    return tf.stack(rows)


def test_transitions_that_forbid_are_exact():
    """-10000 in the transitions, as some codes forbid what is impossible."""
    chain = chain_of([[1, 1, 1, 1]], 3, 0)
    chain.transitions[0, 1] = chain.transitions[2, 2] = -10_000

    expected = log_sum([s for s, _ in paths_of(chain, 0)])
    np.testing.assert_allclose(crf.log_partition(chain), [expected], rtol=1e-5)


@pytest.mark.parametrize(
    "policy, jit",
    [
        ("float32", False),
        ("mixed_float16", True),
        ("mixed_bfloat16", False),
    ],
)
def test_in_a_model(policy, jit, tmp_path):
    """Trained by `fit`, saved, loaded and exported, with scores in any precision."""
    keras.utils.set_random_seed(0)
    draw = np.random.default_rng(0)
    x = draw.integers(1, 5, (64, 6)).astype("int32")
    x[::2, 4:] = 0
    tags = np.where(x > 2, 1, 0) * np.cumsum(x > 2, axis=1) % 3

    words = keras.Input((None,), dtype="int32")
    real = keras.ops.not_equal(words, 0)
    states = keras.layers.Embedding(5, 16, dtype=policy)(words)
    states = keras.layers.GRU(16, return_sequences=True, dtype=policy)(states)
    scores = keras.layers.Dense(3, dtype=policy)(states)
    potentials = CRF(3, dtype=policy)(scores, mask=real)
    assert potentials.dtype == "float32"
    model = keras.Model(words, potentials)
    model.compile(keras.optimizers.Adam(0.05), loss=CRFLoss(), jit_compile=jit)
    losses = model.fit(x, tags, epochs=20, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < 0.2 * losses[0]

    answers, _ = crf.viterbi(crf.unpack(model(x)))
    assert np.mean(np.array(answers)[x > 0] == tags[x > 0]) > 0.9
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x), model(x))
    model.export(tmp_path / "export", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "export"))
    near = 1e-5 if policy == "float32" else 0.2  # the GRU's sums round otherwise
    np.testing.assert_allclose(served.serve(x), model(x), atol=near)


def test_training_under_xla_with_texts_of_other_lengths():
    """From the third length on TensorFlow traces a step for lengths not known."""

    def model(jit):
        scores, real = keras.Input((None, 3)), keras.Input((None,), dtype="bool")
        made = keras.Model([scores, real], CRF(3)(scores, mask=real))
        made.compile(keras.optimizers.SGD(0.5), loss=CRFLoss(), jit_compile=jit)
        return made

    models = {jit: model(jit) for jit in (True, False)}
    for time in (2, 3, 5, 4):
        chain = chain_of(np.arange(time) < [[time], [time - 1]], 3, time)
        tags = np.zeros((2, time), "int32")
        for one in models.values():
            one.train_on_batch([chain.scores, chain.mask], tags)
    for ours, theirs in zip(*(m.get_weights() for m in models.values()), strict=True):
        assert np.any(ours)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_served_answer_needs_stock_operations_only(tmp_path):
    """Viterbi, marginals and n-best in a SavedModel, and under XLA: the same."""
    layer = CRF(3, transitions_initializer="normal")
    layer.build((None, None, 3))

    class Served(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None, 3]),
                tf.TensorSpec([None, None], tf.bool),
            ]
        )
        def answer(self, scores, mask):
            chain = crf.unpack(layer(scores, mask=mask))
            tags, score = crf.viterbi(chain)
            many, _ = crf.n_best(chain, 2)
            found = {"tags": tags, "score": score, "many": many}
            return {**found, "marginals": crf.marginals(chain)}

    served = Served()
    served.layer = layer
    tf.saved_model.save(served, str(tmp_path))
    chain = chain_of([[1, 1, 1], [1, 0, 0], [0, 0, 0]], 3, 0)
    compiled = tf.function(served.answer.python_function, jit_compile=True)
    first = compiled(chain.scores, tf.constant(chain.mask))
    loaded = tf.saved_model.load(str(tmp_path))
    second = loaded.answer(chain.scores, tf.constant(chain.mask))
    for name, found in first.items():
        np.testing.assert_allclose(found, second[name], atol=1e-5)
    no_rows = served.answer(np.zeros((0, 3, 3), "float32"), np.zeros((0, 3), bool))
    assert no_rows["tags"].shape == (0, 3)


def test_rows_do_not_know_each_other():
    chain = chain_of([[1, 1, 0], [1, 1, 1]], 3, 0)
    alone = chain._replace(scores=chain.scores[:1, :2], mask=chain.mask[:1, :2])

    both, one = crf.n_best(chain, 2), crf.n_best(alone, 2)
    np.testing.assert_array_equal(np.array(both[0])[0, :, :2], np.array(one[0])[0])
    np.testing.assert_allclose(both[1][0], one[1][0], rtol=1e-6)


def test_the_layer_passes_keras_own_test():
    keras.utils.set_random_seed(0)
    layer = CRF(4, transitions_regularizer="l2")
    again = CRF.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert layer(np.zeros((2, 3, 4), "float32")).shape == (2, 9, 5)
    assert [w.path.split("/")[-1] for w in layer.weights] == [
        "transitions",
        "starts",
        "ends",
    ]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: CRF(0), "tags: expected an int of at least 1; received 0"),
        (lambda: CRF(3)(np.zeros((1, 2, 4))), r"expected \(batch, time, 3\)"),
        (lambda: crf.n_best(chain_of([[1]], 2, 0), 0), "n: expected an int of at"),
        (lambda: crf.allowed_by(["O"], "IOB"), "scheme: expected one of BIO"),
        (lambda: crf.allowed_by(["O", "S-X"], "BIO"), "labels: expected O, or B, I"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# The scores, transitions and lengths on which tensorflow_addons tests its CRF, and what
# its functions must give there: the score 5 + 3 + 2 + 1 + 2 of the path 1 2 1, and of
# all paths what its test adds up one by one.
ADDONS = crf.Chain(
    np.array([[[4, 5, -3], [3, -1, 3], [-1, 2, 1], [0, 0, 0]]], "float32"),
    np.array([[True, True, True, False]]),
    np.array([[-3, 5, -2], [3, 4, 1], [1, 2, 1]], "float32"),
    np.zeros(3, "float32"),
    np.zeros(3, "float32"),
)


def test_the_numbers_of_tensorflow_addons():
    assert dict((path, score) for score, path in paths_of(ADDONS, 0))[1, 2, 1] == 13
    tags, score = crf.viterbi(ADDONS)
    np.testing.assert_array_equal(tags[0, :3], [1, 0, 1])
    assert float(score[0]) == 5 + 3 + 3 + 5 + 2
    # 27 paths: log(e^18 + e^15 + e^14 + 2 e^13 ...), by NumPy in float64.
    norm = float(crf.log_partition(ADDONS)[0])
    assert norm == pytest.approx(18.046, abs=1e-3)
    assert norm == pytest.approx(log_sum([s for s, _ in paths_of(ADDONS, 0)]), abs=1e-5)


def test_a_length_of_one_and_of_none_as_tensorflow_addons_has_them():
    one = ADDONS._replace(scores=ADDONS.scores[:, :1], mask=np.array([[True]]))
    assert float(crf.viterbi(one)[1][0]) == 5
    ones = np.ones((2, 10, 5), "float32")
    none = crf.Chain(
        ones, np.zeros((2, 10), bool), ones[0, :5], np.zeros(5, "f"), np.zeros(5, "f")
    )
    np.testing.assert_array_equal(crf.log_partition(none), [0, 0])
