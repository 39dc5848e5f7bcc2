"""Greedy and beam search against everything that a tiny network can write."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import decoding

from .networks import END, PAD, REGIONS, Network, without_padding

LENGTH = 4
SEARCHES = {
    "greedy": decoding.greedy,
    "sample": functools.partial(decoding.sample, seed=5),
    "beam": functools.partial(decoding.beam_search, beam=3, n_best=2),
}
each_search = pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
some_seeds = pytest.mark.parametrize("seed", range(3))


def decode(search, network, max_length=LENGTH, **options):
    return search(
        network.step,
        network.state,
        network.start,
        END,
        max_length,
        pad=PAD,
        **options,
    )


def rank(log_prob, length, penalty):
    return log_prob / ((5 + length) / 6) ** penalty


@some_seeds
@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize(
    "limits", [{}, {"min_length": 2}, {"suppress": (1,)}], ids=["free", "min", "less"]
)
def test_a_wide_beam_finds_the_best_of_all_sentences(seed, penalty, limits):
    network = Network(seed)
    wide = functools.partial(
        decoding.beam_search, beam=64, n_best=4, length_penalty=penalty
    )
    found = decode(wide, network, **limits)
    for row in range(network.batch):
        everything = network.sentences(row, LENGTH, **limits)
        everything.sort(key=lambda s: -rank(s[1], len(s[0]), penalty))
        for place, (tokens, log_prob) in enumerate(everything[:4]):
            assert without_padding(found.tokens[row, place]) == tokens
            assert found.lengths[row, place] == len(tokens)
            np.testing.assert_allclose(found.log_probs[row, place], log_prob, atol=1e-5)
            expected = rank(log_prob, len(tokens), penalty)
            np.testing.assert_allclose(found.scores[row, place], expected, atol=1e-5)


def test_the_length_penalty_changes_the_winner_somewhere():
    """Otherwise the test above would not see a penalty that is ignored."""

    def winners(penalty):
        search = functools.partial(decoding.beam_search, beam=64)
        found = decode(search, Network(1, batch=60), length_penalty=penalty)
        return [without_padding(tokens) for tokens in found.tokens[:, 0]]

    assert winners(0.0) != winners(3.0)


@some_seeds
@pytest.mark.parametrize("limits", [{}, {"min_length": 3, "suppress": (0,)}])
def test_greedy_takes_the_likeliest_token_each_time(seed, limits):
    network = Network(seed)
    found = decode(decoding.greedy, network, **limits)
    for row in range(network.batch):
        tokens = without_padding(found.tokens[row])
        for t, token in enumerate(tokens):
            chances = [
                network.follow(row, (*tokens[:t], other), **limits)[0]
                for other in range(END + 1)
            ]
            assert np.argmax(chances) == token
        assert tokens[-1] == END or len(tokens) == LENGTH
        log_prob, attention_weights = network.follow(row, tokens, **limits)
        np.testing.assert_allclose(found.log_probs[row], log_prob, atol=1e-5)
        np.testing.assert_allclose(
            found.weights[row, : len(tokens)], attention_weights, atol=1e-5
        )


def covered(attention_weights, beta):
    """What the coverage penalty adds for weights (tokens, regions), as Wu et al. write
    it."""
    seen = np.minimum(np.sum(attention_weights, axis=0), 1.0)
    return beta * np.sum(np.log(seen))


@some_seeds
def test_a_wide_beam_finds_the_best_by_length_and_coverage(seed):
    """Both penalties with a number of their own in every row."""
    network = Network(seed)
    alphas = np.linspace(0.0, 1.5, network.batch).astype("float32")
    betas = np.linspace(6.0, 1.0, network.batch).astype("float32")
    wide = functools.partial(
        decoding.beam_search,
        beam=64,
        n_best=4,
        length_penalty=alphas,
        coverage_penalty=betas,
    )
    found = decode(wide, network)
    changed = False
    for row, (alpha, beta) in enumerate(zip(alphas, betas, strict=True)):

        def score(sentence, row=row, alpha=alpha, beta=beta):
            tokens, log_prob = sentence
            _, attention_weights = network.follow(row, tokens)
            return rank(log_prob, len(tokens), alpha) + covered(attention_weights, beta)

        everything = network.sentences(row, LENGTH)
        likeliest = max(everything, key=lambda s: s[1])[0]
        everything.sort(key=score, reverse=True)
        changed |= everything[0][0] != likeliest
        for place, sentence in enumerate(everything[:4]):
            assert without_padding(found.tokens[row, place]) == sentence[0]
            np.testing.assert_allclose(
                found.log_probs[row, place], sentence[1], atol=1e-5
            )
            np.testing.assert_allclose(
                found.scores[row, place], score(sentence), atol=1e-4
            )
    assert changed


def test_a_region_that_nothing_looks_at_does_not_count_as_uncovered():
    network = Network(3)

    def padded(tokens, state):
        logits, state, weights = network.step(tokens, state)
        return logits, state, tf.pad(weights, [[0, 0], [0, 2]])

    options = {"beam": 3, "coverage_penalty": 0.5, "pad": PAD}
    ways = [
        decoding.beam_search(step, network.state, network.start, END, 5, **options)
        for step in (network.step, padded)
    ]
    np.testing.assert_array_equal(ways[0].tokens, ways[1].tokens)
    np.testing.assert_allclose(ways[0].scores, ways[1].scores, atol=1e-5)


def test_coverage_without_weights_is_an_error():
    network = Network(0)
    with pytest.raises(ValueError, match="coverage_penalty is not 0; received one"):
        decoding.beam_search(
            network.step_without_weights,
            network.state,
            network.start,
            END,
            LENGTH,
            coverage_penalty=0.1,
        )


@some_seeds
def test_rows_with_beams_of_their_own(seed):
    """A row that uses k of 5 hypotheses finds what a beam of k finds."""
    network = Network(seed)
    options = {"length_penalty": 0.7, "max_length": 6}
    beams = np.array([1, 3, 5], "int32")
    found = decode(decoding.beam_search, network, beam=5, beams=beams, **options)
    for row, k in enumerate(beams):
        alone = decode(decoding.beam_search, network, beam=int(k), **options)
        for part in ("tokens", "lengths", "scores", "weights"):
            ours, theirs = getattr(found, part)[row], getattr(alone, part)[row]
            np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=part)


def test_rows_with_a_length_of_their_own():
    network = Network(2, end_bias=-30.0)  # which never ends by itself
    longest = np.array([1, 3, 5], "int32")
    options = {"beam": 3, "max_length": 5}
    found = decode(decoding.beam_search, network, max_lengths=longest, **options)
    np.testing.assert_array_equal(found.lengths[:, 0], longest)
    for row, most in enumerate(longest):
        alone = decode(decoding.beam_search, network, beam=3, max_length=int(most))
        got = without_padding(found.tokens[row, 0])
        assert got == without_padding(alone.tokens[row, 0])
        np.testing.assert_allclose(
            found.log_probs[row], alone.log_probs[row], atol=1e-5
        )


def test_a_number_of_regions_that_is_known_only_when_it_runs():
    network = Network(4)
    scorer = network.scorer

    @tf.function(input_signature=[tf.TensorSpec([None, None]), tf.TensorSpec([None])])
    def run(scorer, start):
        def step(tokens, state):
            logits, state, _ = network.step(tokens, state)
            return logits, state, tf.nn.softmax(tf.matmul(state["h"], scorer))

        found = {}
        for name, search in SEARCHES.items():
            start = tf.cast(start, tf.int32)
            more = {"coverage_penalty": 0.3} if name == "beam" else {}
            found[name] = search(step, network.state, start, END, 6, pad=PAD, **more)
        return {name: value._asdict() for name, value in found.items()}

    found = run(scorer, network.start.astype("float32"))
    for name, search in SEARCHES.items():
        more = {"coverage_penalty": 0.3} if name == "beam" else {}
        expected = decode(search, network, max_length=6, **more)._asdict()
        for part, value in found[name].items():
            np.testing.assert_allclose(
                value, expected[part], atol=1e-5, err_msg=f"{name} {part}"
            )


@some_seeds
def test_a_beam_of_one_is_greedy(seed):
    network = Network(seed, batch=6)
    one = decode(functools.partial(decoding.beam_search, beam=1), network, 8)
    greedy = decode(decoding.greedy, network, 8)
    for part in ("tokens", "lengths", "log_probs", "weights"):
        ours, theirs = getattr(one, part)[:, 0], getattr(greedy, part)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@some_seeds
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_hypotheses_are_sorted_and_their_figures_are_their_own(seed, penalty):
    """A finished hypothesis is frozen; weights follow each hypothesis' own past."""
    network = Network(seed, batch=4, end_bias=1.0)
    search = functools.partial(
        decoding.beam_search, beam=5, n_best=5, length_penalty=penalty
    )
    found = decode(search, network, 7)
    assert len(set(np.array(found.lengths).flatten())) > 2, "all end at once"
    for row in range(network.batch):
        assert (np.diff(found.scores[row]) <= 1e-6).all()
        sentences = [without_padding(tokens) for tokens in found.tokens[row]]
        assert len(set(sentences)) == 5
        for place, tokens in enumerate(sentences):
            length = len(tokens)
            assert END not in tokens[:-1]
            assert found.lengths[row, place] == length
            log_prob, attention_weights = network.follow(row, tokens)
            np.testing.assert_allclose(found.log_probs[row, place], log_prob, atol=1e-4)
            weights = found.weights[row, place]
            np.testing.assert_allclose(weights[:length], attention_weights, atol=1e-5)
            assert not np.any(weights[length:])


@each_search
def test_the_loop_stops_when_all_rows_are_done(search):
    network, calls = Network(0, end_bias=30.0), []

    def counting(tokens, state):
        calls.append(1)
        return network.step(tokens, state)

    found = search(counting, network.state, network.start, END, 50, pad=PAD)
    # One token and one call that looks whether there are weights; a beam goes on
    # until its unlikely hypotheses have ended too.
    assert len(calls) <= 4
    assert found.tokens.shape[-1] == 50
    first = np.array(found.tokens).reshape(network.batch, -1, 50)[:, 0]
    assert (first[:, 0] == END).all() and (first[:, 1:] == PAD).all()


def test_the_loop_stops_in_a_graph_too():
    network, calls = Network(0, end_bias=30.0), tf.Variable(0)

    def counting(tokens, state):
        calls.assign_add(1)
        return network.step(tokens, state)

    @tf.function
    def run(start):
        return decoding.greedy(counting, network.state, start, END, 50, pad=PAD)

    run(network.start)
    assert calls.numpy() <= 2


@each_search
def test_max_length_ends_what_does_not_end(search):
    network = Network(0, end_bias=-1e4)
    found = decode(search, network)
    assert (np.array(found.lengths) == LENGTH).all()
    tokens = np.array(found.tokens)
    assert not np.isin(tokens, [END, PAD]).any()


@each_search
def test_min_length_and_suppress(search):
    network = Network(0, batch=40, end_bias=3.0)
    tokens = np.array(decode(search, network, 6, min_length=3, suppress=(0, 2)).tokens)
    assert not np.isin(tokens, [0, 2]).any()
    assert not np.isin(tokens[..., :3], [END, PAD]).any()
    assert (tokens[..., 3] == END).any()


@each_search
def test_a_step_without_weights(search):
    network = Network(2)
    args = network.state, network.start, END, LENGTH
    found = search(network.step_without_weights, *args, pad=PAD)
    assert found.weights is None
    expected = search(network.step, *args, pad=PAD)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    assert expected.weights.shape[-2:] == (LENGTH, REGIONS)


@pytest.mark.parametrize("name", ["greedy", "beam"])
def test_rows_do_not_see_each_other(name):
    network = Network(4, batch=5)
    together = decode(SEARCHES[name], network, 6)
    for row in range(network.batch):
        state = tf.nest.map_structure(lambda s, r=row: s[r : r + 1], network.state)
        start = network.start[row : row + 1]
        alone = SEARCHES[name](network.step, state, start, END, 6, pad=PAD)
        np.testing.assert_array_equal(alone.tokens[0], together.tokens[row])
        np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-5)
        np.testing.assert_allclose(alone.weights[0], together.weights[row], atol=1e-5)


@each_search
def test_eager_graph_xla_and_export_agree(search, tmp_path):
    """Batch unknown at tracing; a batch of no rows has an answer of no rows."""
    network = Network(6)
    flat = tf.nest.flatten(network.state)

    def run(start, *flat):
        state = tf.nest.pack_sequence_as(network.state, flat)
        return search(network.step, state, start, END, 6, pad=PAD)._asdict()

    signature = [tf.TensorSpec([None, *a.shape[1:]], a.dtype) for a in flat]
    signature = [tf.TensorSpec([None], tf.int32), *signature]
    plain = tf.function(run, input_signature=signature)
    module = tf.Module()
    module.run = plain
    tf.saved_model.save(module, str(tmp_path))
    ways = {
        "graph": plain,
        "xla": tf.function(run, input_signature=signature, jit_compile=True),
        "export": tf.saved_model.load(str(tmp_path)).run,
    }
    for rows in (network.batch, 0):
        inputs = [a[:rows] for a in (network.start, *flat)]
        expected = run(*inputs)
        for way, function in ways.items():
            for part, value in function(*inputs).items():
                message = f"{way} {part}, {rows} rows"
                assert value.shape == expected[part].shape, message
                np.testing.assert_allclose(
                    value, expected[part], atol=1e-5, err_msg=message
                )
    static = plain.get_concrete_function().output_shapes
    assert static["tokens"][-1] == 6, "the length must be known before the run"


@pytest.mark.parametrize(("beam", "n_best"), [(2, 3), (2, 0), (0, 1)])
def test_more_hypotheses_than_beams_is_an_error(beam, n_best):
    network = Network(0)
    expected = f"1 <= n_best <= beam; received n_best={n_best}, beam={beam}"
    with pytest.raises(ValueError, match=expected):
        decode(decoding.beam_search, network, beam=beam, n_best=n_best)


def test_repeat_rows_puts_copies_side_by_side():
    nest = {"a": np.array([1, 2]), "b": [np.array([[1.0, 2.0], [3.0, 4.0]])]}
    repeated = decoding.repeat_rows(nest, 3)
    np.testing.assert_array_equal(repeated["a"], [1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(repeated["b"][0][2:4], [[1.0, 2.0], [3.0, 4.0]])
