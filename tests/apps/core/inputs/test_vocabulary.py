import pytest
import tensorflow as tf

from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs import vocabulary
from saccade.apps.core.inputs.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("A red Circle.", "a red circle"),
        ("woman: medium-light skin tone", "woman mediumlight skin tone"),
        (
            "\u201ccurly\u201d \u2018quotes\u2019 \u2013 and dashes",
            "curly quotes and dashes",
        ),
        ("ÉTÉ Straße ÄÖÜ", "été straße äöü"),
        ("男科学家: 中等-深肤色。", "男科学家 中等深肤色"),
        ("  tabs\tand\nlines\u00a0and\u3000wide  ", "tabs and lines and wide"),
        ("1 + 1 = 2 €", "1 1 2"),
        ("?!", ""),
        ("", ""),
    ],
)
def test_normalise(raw, expected):
    assert vocabulary.normalised([raw]) == [expected]
    assert vocabulary.normalised([expected]) == [expected]


def test_normalise_keeps_the_shape_and_repairs_invalid_utf8():
    raw = tf.constant([[b"A  b"], [b"caf\xe9 \xff\xfe"]])
    assert vocabulary.normalise(raw).numpy().tolist() == [[b"a b"], [b"caf"]]


def test_normalised_is_normalise_for_lists():
    assert vocabulary.normalised(["A.", "b-B"]) == ["a", "bb"]
    assert vocabulary.normalised([]) == []
    assert vocabulary.normalised(["half an \ud83d emoji"]) == ["half an emoji"]


def test_build_ranks_by_frequency_then_alphabet():
    vocabulary = Vocabulary.build(["b a", "c b a", "b!"])
    assert vocabulary.tokens == ["", "<unk>", "<start>", "<end>", "b", "a", "c"]
    assert vocabulary.size == 7
    assert Vocabulary.build(["b a", "c b a", "b!"], max_size=6).tokens[4:] == ["b", "a"]
    assert Vocabulary.build(["b a", "c b a", "b!"], min_count=3).tokens[4:] == ["b"]


def test_build_refuses_to_be_empty():
    with pytest.raises(UserError, match="no token of 2 texts occurs 3 times"):
        Vocabulary.build(["a b", "b"], min_count=3)
    with pytest.raises(UserError, match="empty"):
        Vocabulary.build(["...", ""])


def test_units_are_checked():
    with pytest.raises(ValueError, match="'words' or 'characters', received 'letters'"):
        Vocabulary(["a"], units="letters")


def test_encode_ends_pads_cuts_and_marks_the_unknown():
    vocabulary = Vocabulary(["a", "red", "circle"])
    ids = vocabulary.encode(["A red circle.", "red", "a blue circle", ""], 4)
    assert ids.dtype == tf.int32
    assert ids.numpy().tolist() == [
        [4, 5, 6, 3],
        [5, 3, 0, 0],
        [4, 1, 6, 3],
        [3, 0, 0, 0],
    ]
    assert vocabulary.encode(["a red circle"], 2).numpy().tolist() == [[4, 3]]
    assert vocabulary.encode([], 5).shape == (0, 5)
    with pytest.raises(ValueError, match="max_length=0"):
        vocabulary.encode(["a"], 0)


def test_lengths_count_the_end():
    assert Vocabulary(["a"]).lengths(["a, b c", ""]) == [4, 1]
    assert Vocabulary(["a"], "characters").lengths(["历史 x"]) == [4]


def test_decode_stops_at_the_first_end_or_padding():
    vocabulary = Vocabulary(["a", "red", "circle"])
    ids = tf.constant([[4, 5, 6, 3], [5, 3, 4, 4], [4, 0, 5, 3], [3, 4, 4, 4]])
    answer = vocabulary.decode(ids).numpy().tolist()
    assert answer == [b"a red circle", b"red", b"a", b""]
    beams = vocabulary.decode(tf.reshape(ids, [2, 2, 4]))
    assert beams.shape == (2, 2)
    assert vocabulary.decode(tf.zeros([0, 4], tf.int32)).shape == (0,)


@pytest.mark.parametrize("units", ["words", "characters"])
def test_decode_undoes_encode(units):
    texts = ["Flagge: Österreich", "历史", "a-b c"]
    vocabulary = Vocabulary.build(texts, units)
    ids = vocabulary.encode(texts, max(vocabulary.lengths(texts)))
    answer = [s.decode() for s in vocabulary.decode(ids).numpy()]
    assert answer == vocabulary.canonical(texts)
    if units == "words":
        assert answer == ["flagge österreich", "历史", "ab c"]
    else:
        assert answer == ["flaggeösterreich", "历史", "abc"]


def test_json_round_trip():
    vocabulary = Vocabulary.build(["历史 ist alt"], "characters")
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again.tokens == vocabulary.tokens
    assert again.units == "characters"
    assert "历" in vocabulary.to_json()


def test_decode_lives_in_a_saved_model_without_tables(tmp_path):
    module = tf.Module()
    module.decode = tf.function(
        Vocabulary(["a", "猫"]).decode,
        input_signature=[tf.TensorSpec([None, None], tf.int32)],
    )
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    assert loaded.decode(tf.constant([[4, 5, 3]])).numpy()[0].decode() == "a 猫"
