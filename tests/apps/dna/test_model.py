"""The dna model: padding, both strands, places, members."""

import keras
import numpy as np
import pytest

from saccade.apps.core.inputs.sequence import BASES, CODES
from saccade.apps.core.tasks.classify import Classes
from saccade.apps.dna import APP, build_model
from saccade.apps.dna.config import Config

ASSETS = Classes(("a", "b", "c"))
MODELS = {
    "centre": {},
    "last": {"pool": "last"},
    "mean": {"pool": "mean"},
    "attention": {"pool": "attention"},
    "places": {"pool": "places", "window": 6},
    "members": {"members": 3},
    "both strands": {"both_strands": True},
    "no filters": {"filters": 0, "levels": 2, "cell": "lstm", "pool": "last"},
    "elman": {"cell": "elman"},
}


def model_of(case, **more):
    settings = {"filters": 4, "units": 5, **MODELS[case], **more}
    return build_model(Config(**settings), ASSETS)


def codes_of(*sequences):
    codes = np.zeros((len(sequences), max(map(len, sequences))), np.int32)
    for row, sequence in enumerate(sequences):
        codes[row, : len(sequence)] = [CODES[letter] for letter in sequence]
    return codes


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1")  # one base
@pytest.mark.parametrize("case", MODELS)
def test_padding_changes_nothing(case):
    model = model_of(case)
    sequences = ["ACGTNRA", "GGAT", "C"]
    padded = np.pad(codes_of(*sequences), [(0, 0), (0, 5)])
    logits = model({"codes": padded})["logits"].numpy()
    assert logits.shape == (3, 3 if case == "members" else 1, 3)
    for row, sequence in enumerate(sequences):
        alone = model({"codes": codes_of(sequence)})["logits"]
        np.testing.assert_allclose(logits[row], alone[0], atol=1e-6)


def test_every_place_counts_and_is_told_from_others():
    """No pooling throws away where a motif lies: moved by one base, it is another
    input to every way of deciding but the mean's."""
    for case in ("centre", "last", "attention", "places"):
        model = model_of(case, window=12)
        rows = codes_of("AAAAGTAAAAAA", "AAAAAGTAAAAA", "AAAAGCAAAAAA")
        logits = model({"codes": rows})["logits"].numpy()
        for one in (1, 2):
            assert np.abs(logits[0] - logits[one]).max() > 1e-4, case


def test_both_strands_are_one():
    """A sequence and its reverse complement, by its definition, get equal logits; of
    one strand only they do not."""
    turned = str.maketrans("ACGTRYN", "TGCAYRN")
    sequences = ["ACGTTRN", "GGAT"]
    others = [s.translate(turned)[::-1] for s in sequences]
    assert others[1] == "ATCC"
    for case, same in (("both strands", True), ("centre", False)):
        model = model_of(case)
        logits, mirrored = (
            model({"codes": codes_of(*some)})["logits"].numpy()
            for some in (sequences, others)
        )
        assert np.allclose(logits, mirrored, atol=1e-6) == same


def test_members_learn_by_themselves():
    """A member's gradient is that of its own loss: the others change nothing."""
    config = Config(filters=4, units=5, members=2, dropout=0.0, dropout_filters=0.0)
    task = APP.task_for(config, ASSETS)
    pairs = task.targets({"label": ["a", "c"]})
    assert pairs.targets["logits"].tolist() == [[0, 0], [2, 2]]
    assert pairs.weights["logits"].shape == (2, 2)
    model = task.build_model()
    members = [model.get_layer("network").get_layer(f"member_{k}") for k in (0, 1)]
    weights = [member.trainable_weights for member in members]
    assert sum(map(len, weights)) == len(model.trainable_weights)
    logits = model({"codes": codes_of("ACGT")})["logits"].numpy()
    assert np.abs(logits[:, 0] - logits[:, 1]).max() > 1e-4
    for weight in weights[1]:
        weight.assign(weight + 1)
    again = model({"codes": codes_of("ACGT")})["logits"].numpy()
    np.testing.assert_array_equal(again[:, 0], logits[:, 0])
    assert np.abs(again[:, 1] - logits[:, 1]).max() > 1e-4


def test_an_ambiguous_letter_is_the_mean_of_its_bases():
    """To the first layer: R lies halfway between A and G."""
    bases = model_of("centre").get_layer("bases")
    found = np.array(bases(codes_of("R", "A", "G", "N")))
    np.testing.assert_allclose(found[0], (found[1] + found[2]) / 2)
    np.testing.assert_allclose(found[3], np.full((1, 4), 1 / 4))
    assert len(BASES) == found.shape[-1]


def test_the_middle():
    """Of an even number of bases both beside it; beyond an end are zeros."""
    from saccade.apps.dna.model import Around

    states = np.arange(1.0, 15.0, dtype="float32").reshape(2, 7, 1)
    real = np.array([[True] * 6 + [False], [True] * 3 + [False] * 4])
    np.testing.assert_array_equal(Around(2)(states, real), [[3, 4], [8, 9]])
    np.testing.assert_array_equal(
        Around(4)(states, real), [[2, 3, 4, 5], [0, 8, 9, 10]]
    )


@pytest.mark.parametrize("case", ["places", "attention", "both strands", "members"])
def test_a_file_of_it_is_the_same_model(case, tmp_path):
    model = model_of(case)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    inputs = {"codes": codes_of("ACGTNR", "GGA")}
    np.testing.assert_array_equal(loaded(inputs)["logits"], model(inputs)["logits"])


def test_the_number_of_parameters():
    """Filters 7 x 4 x 4 + 4; two GRUs, 3 gates of (4 + 5 + 2) x 5; two states of two
    directions to 3 labels."""
    assert model_of("centre").count_params() == 116 + 2 * 3 * 55 + 3 * (20 + 1)
