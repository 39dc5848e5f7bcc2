"""The tokenizer: words, given words, characters and subwords to ids and back."""

import functools
import json

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs import spacing, tokenizer
from saccade.apps.core.inputs.tokenizer import Tokenizer

quick = hypothesis.settings(max_examples=25, deadline=None)
texts_of_any = st.text(st.characters(codec="utf-8"), max_size=30) | st.text(
    " \t\nab\0é\u0301历😀👩\u200d", max_size=30
)

CAPTIONS = [
    "man cook: medium-light skin tone",
    "woman cook: dark skin tone",
    "a man, a plan (a canal), 3.14 or 10:30!",
    'He said "hi" to the "old" cook.',
    "don't stop - the well-known cook (a b) is here: red, green.",
    "5 % of it: a £5 note / two",
    "历史重演。用 Python 写，好！",
]


def strings(texts):
    return tf.constant(texts, tf.string, [len(texts)])


@functools.cache
def compiled(tok):
    """encode, encode_with_offsets, split, and decode of what encode gave."""
    several = tf.TensorSpec([None], tf.string)
    functions = (
        tok.encode,
        tok.encode_with_offsets,
        tok.split,
        lambda texts: tok.decode(*tok.encode(texts)),
    )
    return [tf.function(f, input_signature=[several]) for f in functions]


def round_trip(tok, texts):
    decoded = tok.decode(*tok.encode(strings(texts))).numpy()
    return [text.decode() for text in decoded]


def rows(tok, texts):
    """The tokens of texts, as the graph finds them."""
    ids, lengths = tok.encode(tf.constant(texts))
    return [
        [tok.tokens[i] for i in row[:length]]
        for row, length in zip(ids.numpy(), lengths.numpy(), strict=True)
    ]


CHARACTERS = Tokenizer.build(CAPTIONS, "characters", fallback="bytes")
SUBWORDS = Tokenizer.build(CAPTIONS, "subwords", size=400, fallback="bytes")
WORDS = Tokenizer.build(CAPTIONS)
SPACES = Tokenizer(["a", "b"], "spaces")
TOKENIZERS = {
    "words": WORDS,
    "spaces": SPACES,
    "characters": CHARACTERS,
    "subwords": SUBWORDS,
}

# Exact round trips


@pytest.mark.parametrize("tok", [CHARACTERS, SUBWORDS], ids=["characters", "subwords"])
@hypothesis.given(texts=st.lists(texts_of_any, max_size=4))
@quick
def test_any_text_comes_back_exactly(tok, texts):
    _, _, split, again = compiled(tok)
    assert [text.decode() for text in again(strings(texts)).numpy()] == texts
    pieces = split(strings(texts)).to_list()
    assert [b"".join(row).decode() for row in pieces] == texts


@pytest.mark.parametrize("tok", [CHARACTERS, SUBWORDS], ids=["characters", "subwords"])
@hypothesis.given(st.binary(max_size=12))
@quick
def test_what_is_no_utf8_becomes_the_replacement_character(tok, content):
    repaired = tf.strings.unicode_transcode(
        [content], "UTF-8", "UTF-8", errors="replace"
    )
    assert round_trip(tok, [content]) == [repaired.numpy()[0].decode()]


@pytest.mark.parametrize("units", ["characters", "subwords"])
def test_without_bytes_the_unknown_prints_the_replacement_character(units):
    tok = Tokenizer.build(["abba ab"], units, special=("<unk>",))
    assert round_trip(tok, ["ab cb", "", "b😀"]) == ["ab \ufffdb", "", "b\ufffd"]
    ids, lengths = tok.encode(tf.constant(["b😀a"]))
    assert ids.numpy()[0, 1] == tok.unknown == 0 and lengths.numpy().tolist() == [3]


@hypothesis.given(st.lists(texts_of_any, max_size=3))
@quick
def test_python_and_graph_give_the_same_ids(texts):
    for tok in (CHARACTERS, SUBWORDS, WORDS, SPACES):
        ids, lengths = compiled(tok)[0](strings(texts))
        assert tok.lengths(texts) == lengths.numpy().tolist()
        for text, row, length in zip(texts, ids, lengths, strict=True):
            np.testing.assert_array_equal(tok.ids(text), row[:length])


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("fallback", ["unknown", "bytes"])
def test_the_table_of_python_is_the_search_of_the_graph(lower, fallback):
    tok = Tokenizer.build(["Abc ÄÖ"], "characters", lower=lower, fallback=fallback)
    for text in ("aBcäÖ", "A?é😀Z", "half \ud83d emoji"):
        ids, _ = tok.encode(tf.constant([text.replace("\ud83d", "\ufffd")]))
        np.testing.assert_array_equal(tok.ids(text), ids[0])


# Words


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The cat, which sat.", "The cat , which sat ."),
        ("don't - well-known: 3.14, 1,000!", "don't - well-known : 3.14 , 1,000 !"),
        (" a\t b\u3000c \n", "a b c"),
        ("«Ça va?»", "« Ça va ? »"),
        ("历史a。3元", "历 史 a 。 3 元"),
        ("👩🏽\u200d🍳👍 e\u0301te", "👩🏽\u200d🍳 👍 e\u0301te"),
        ("a\0b", "a \ufffd b"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_words(text, tokens):
    tok = Tokenizer(["a"])
    split = tok.split(tf.constant([text, "x y"])).to_list()
    assert [t.decode() for t in split[0]] == tokens.split()
    assert split[1] == [b"x", b"y"]


def test_given_words_are_cut_at_white_space_only():
    tok = Tokenizer.build(["The cat, which  sat."], "spaces")
    assert rows(tok, [" The\tcat, dog"]) == [["The", "cat,", "<unk>"]]
    assert round_trip(tok, ["The  cat, sat."]) == ["The cat, sat."]
    glued = Tokenizer.build(["历史 重演"], "spaces", separator="")
    assert round_trip(glued, ["历史 重演"]) == ["历史重演"]


@pytest.mark.parametrize(
    "text",
    [
        *CAPTIONS,
        "woman cook: medium-light skin tone",
        "don't (a b), a well-known man: a 3.14!",
        'the "old" man said "stop", a "plan" is here.',
        '"hi" is red',
        "历史写好。重演！",
    ],
)
def test_words_come_back_as_a_person_writes_them(text):
    assert round_trip(WORDS, [text]) == [text]


@pytest.mark.parametrize(
    "text", ["a (b c), d: e!", "历史，重演。", "a b", "x « b » 1", '"a b" c', "€5 a"]
)
def test_without_texts_punctuation_is_spaced_by_unicode(text):
    tok = Tokenizer([*'abcdex15(),:!«»"€历史重演，。'])
    answer = round_trip(tok, [text])[0]
    assert answer == text.replace("« ", "«").replace(" »", "»")


def test_spacing_is_learned_by_majority_and_by_neighbour():
    tok = Tokenizer.build(["it is 10:30", "at 9:15", "men: a b", "key: 1", "x / y"])
    text = "at 10:15 men: x / a key: 9"
    assert round_trip(tok, [text, text]) == [text, text]
    french = Tokenizer.build(["oui : non", "ici : la"])
    assert round_trip(french, ["la : oui"]) == ["la : oui"]


def test_a_quote_that_stays_open_ends_with_its_text():
    texts = ['a "man', 'the "man" is', "", '"man" is']
    assert round_trip(WORDS, texts) == texts


def test_lower_finds_what_was_written_in_capitals():
    tok = Tokenizer.build(["The Été THE"], lower=True)
    assert tok.tokens[4:] == ["the", "été"]
    assert round_trip(tok, ["THE ÉTÉ"]) == ["the été"]
    assert Tokenizer.build(["The the"]).tokens[4:] == ["The", "the"]
    for units in ("characters", "subwords"):
        tok = Tokenizer.build(["The Été"], units, lower=True, fallback="bytes")
        assert round_trip(tok, ["ÉTÉ ß İΣZ"]) == ["été ß İσz"]


# Special tokens


def test_special_tokens_are_free():
    tok = Tokenizer(["a", "b"], special=("<UNK>", "<EOS>"), written=True)
    assert (tok.unknown, tok.end, tok.pad, tok.start) == (0, 1, None, None)
    assert (
        tok.own == ["a", "b"]
        and tok.size == 4
        and tok.id_of("<EOS>") == 1
        and tok.id_of("b") == 3
    )
    assert tok.id_of("c") is None
    assert rows(tok, ["a<EOS> b c"]) == [["a", "<EOS>", "b", "<UNK>"]]
    assert round_trip(tok, ["<EOS> a c", "b"]) == ["<EOS> a <UNK>", "b"]
    ids, _ = tok.encode(tf.constant(["a b", "a"]))
    assert ids.numpy().tolist() == [[2, 3], [2, 1]]  # <EOS> is the padding.
    assert tok.decode(ids).numpy().tolist() == [b"a b", b"a <EOS>"]


@pytest.mark.parametrize("units", ["words", "characters", "subwords"])
def test_a_text_holds_special_tokens_only_if_they_are_written(units):
    texts = ["<end> [x]"]
    shut = Tokenizer.build(texts, units, special=("<unk>", "<end>"))
    assert shut.end not in shut.ids("<end>")
    open_ = Tokenizer.build(texts, units, special=("<unk>", "<end>"), written=True)
    assert open_.ids("<end>").tolist() == [1]
    lower = Tokenizer(
        ["x"], units, special=("<UNK>", "<END>"), written=True, lower=True
    )
    assert lower.ids("<END>X").tolist() == [1, 2]


def test_decode_stops_at_the_first_end_or_padding():
    tok = Tokenizer(["a", "red", "circle"])
    ids = tf.constant([[4, 5, 6, 3], [5, 3, 4, 4], [4, 0, 5, 3], [3, 4, 4, 4]])
    expected = [b"a red circle", b"red", b"a", b""]
    assert tok.decode(ids).numpy().tolist() == expected
    assert tok.decode(tf.reshape(ids, [2, 2, 4])).shape == (2, 2)
    assert tok.decode(ids, [4, 1, 3, 2]).numpy().tolist() == [
        b"a red circle",
        b"red",
        b"a red",
        b"a",
    ]
    assert tok.decode([[2, 1, 4]]).numpy().tolist() == ["\ufffd a".encode()]
    for shape in ([0, 4], [2, 0], [0, 0]):
        empty = tok.decode(tf.zeros(shape, tf.int32)).numpy().tolist()
        assert empty == [b""] * shape[0]


def test_encode_cuts_and_ends():
    tok = Tokenizer(["a", "red", "circle"])
    texts = tf.constant(["a red circle", "red", ""])
    ids, lengths = tok.encode(texts, max_length=3, end=True)
    assert ids.numpy().tolist() == [[4, 5, 3], [5, 3, 0], [3, 0, 0]]
    assert lengths.numpy().tolist() == [3, 2, 1] and ids.dtype == tf.int32
    ids, lengths = tok.encode(texts, max_length=2)
    assert ids.numpy().tolist() == [[4, 5], [5, 0], [0, 0]]
    assert tok.encode(tf.constant([], tf.string), 5, end=True)[0].shape == (0, 5)
    with pytest.raises(ValueError, match="max_length=0"):
        tok.encode(texts, 0)
    with pytest.raises(ValueError, match="token <end>, not .*<unk>"):
        Tokenizer(["a"], special=["<unk>"]).encode(texts, end=True)


# Offsets


@pytest.mark.parametrize("units", TOKENIZERS)
@hypothesis.given(st.lists(texts_of_any, max_size=3))
@hypothesis.example(["e\u0301 👩\u200d🍳 cook:  a", "", "历史 a\0b"])
@quick
def test_offsets_point_at_the_token_in_the_original(units, texts):
    tok = TOKENIZERS[units]
    encode, encode_with_offsets, split, _ = compiled(tok)
    found = [t.numpy() for t in encode_with_offsets(strings(texts))]
    np.testing.assert_array_equal(found[0], encode(strings(texts))[0])
    ids, lengths, *places = found
    for row, (text, pieces) in enumerate(
        zip(texts, split(strings(texts)).to_list(), strict=True)
    ):
        spans = np.stack([place[row, : lengths[row]] for place in places], axis=1)
        whole = dict.fromkeys((a, b) for a, b, _, _ in spans)  # one for all its bytes
        # Among words a NUL is U+FFFD.
        nul = "\ufffd" if units in ("words", "spaces") else "\0"
        expected = [piece.decode() for piece in pieces]
        assert [text[a:b].replace("\0", nul) for a, b in whole] == expected
        for (a, b, c, d), id_ in zip(spans, ids[row], strict=False):
            token = tok.tokens[id_]
            if token.startswith("<0x"):
                assert text.encode()[c:d] == bytes([int(token[3:5], 16)])
                assert len(text[:a].encode()) <= c < d <= len(text[:b].encode())
            else:
                assert text.encode()[c:d] == text[a:b].encode()


@pytest.mark.parametrize("units", ["words", "characters"])
def test_offsets_count_the_bytes_of_the_original_where_it_is_no_utf8(units):
    tok = Tokenizer(["a", "b"], units)
    found = tok.encode_with_offsets(tf.constant([b"\xff\xe5\x8eb"]))
    last = int(found.lengths[0]) - 1
    assert tok.tokens[found.ids[0, last]] == "b"
    assert (found.starts[0, last], found.ends[0, last]) == (2, 3)
    assert (found.byte_starts[0, last], found.byte_ends[0, last]) == (3, 4)


# Streaming


@pytest.mark.parametrize("tok", [WORDS, CHARACTERS, SUBWORDS])
@hypothesis.given(data=st.data())
@quick
def test_the_text_of_some_tokens_begins_with_that_of_the_first(tok, data):
    byte = st.sampled_from([0xE5, 0x8E, 0x86, 0xF0, 0x9F, 0x98, 0x80, 0xC3, 0xFF])
    ids = st.integers(4, tok.size - 1)
    if tok is not WORDS:
        ids = ids | byte.map(lambda b: 4 + b)
    row = data.draw(st.lists(ids, max_size=12))
    texts = tok.decode(tf.fill([len(row) + 1, 1], 1) * [row], range(len(row) + 1))
    texts = [text.decode() for text in texts.numpy()]
    for shorter, longer in zip(texts, texts[1:], strict=False):
        assert longer.startswith(shorter)


QUOTING = Tokenizer.build(
    ['He said: "well, (so) 5." At 10:30', '"No, 历史。" and/or', "key: 1, $ 5 of 5%"]
)


@pytest.mark.parametrize(
    "tok",
    [
        QUOTING,
        Tokenizer(["a", "b"], "spaces", separator="_", written=True),
        Tokenizer("ab", "characters"),
    ],
    ids=["words", "spaces", "characters"],
)
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=20, deadline=None)
def test_a_token_at_a_time_gives_the_same_text(tok, data):
    """Two texts at once, of any tokens, special ones too."""
    row = st.lists(st.integers(0, tok.size - 1), min_size=9, max_size=9)
    ids = np.array([data.draw(row), data.draw(row)], np.int32)
    before, parts = tf.constant([-1, -1]), []
    for t in range(9):
        added, before = tok.decode_step(before, tf.constant(ids[:, t]))
        parts.append(added.numpy())
    whole = tok.decode(ids, [9, 9]).numpy().tolist()
    assert [b"".join(column) for column in zip(*parts, strict=True)] == whole


def test_a_step_needs_the_quotes_that_are_open():
    text = '"No," he said: "well."'
    tok = Tokenizer.build([text])
    before, printed = tf.constant([-1]), ""
    for token in tok.ids(text):
        added, before = tok.decode_step(before, tf.constant([token]))
        printed += added.numpy()[0].decode()
    assert printed == text
    with pytest.raises(ValueError, match="fallback"):
        CHARACTERS.decode_step(before, before)


def test_bytes_that_finish_no_character_wait():
    ids = [CHARACTERS.tokens.index(f"<0x{b:02X}>") for b in "😀".encode()]
    texts = CHARACTERS.decode([ids] * 5, range(5)).numpy()
    assert [text.decode() for text in texts] == ["", "", "", "", "😀"]
    never = CHARACTERS.decode([[ids[0], ids[0], ids[1], CHARACTERS.id_of("a")]])
    assert never.numpy()[0].decode() == "\ufffd\ufffda"


# Building


def test_build_ranks_by_frequency_then_alphabet():
    texts = ["b a", "c b a", "b"]
    assert Tokenizer.build(texts).tokens == [*tokenizer.SPECIAL, "b", "a", "c"]
    few = Tokenizer.build(texts, size=6)
    assert (few.tokens[4:], few.rare, few.size) == (["b", "a"], 1, 6)
    assert Tokenizer.build(texts, min_count=3).tokens[4:] == ["b"]
    characters = Tokenizer.build(
        iter(["abba 历史", "b"]), "characters", special=["<unk>"]
    )
    assert characters.tokens == ["<unk>", *"ba 历史"]
    assert characters.rare == 0


def test_names_of_special_tokens_in_a_text_are_no_tokens_of_their_own():
    special = ("<UNK>", "<EOS>")
    texts = ["b <unk> a <eos> b"]
    tok = Tokenizer.build(texts, "spaces", special=special, written=True)
    assert tok.tokens == ["<UNK>", "<EOS>", "b", "a"] and tok.rare == 0


@pytest.mark.parametrize("lower", [False, True])
def test_names_that_are_written_are_found_and_their_letters_not_counted(lower):
    options = {"special": ("<UNK>", "<E>"), "written": True, "lower": lower}
    tok = Tokenizer.build(["a<E>be", "ae<UNK>b"], "characters", **options)
    assert sorted(tok.own) == ["a", "b", "e"]
    np.testing.assert_array_equal(tok.ids("<E>"), [1])
    words = Tokenizer(["a"], "words", **options)
    np.testing.assert_array_equal(words.ids("a <e>"), [2, 1] if lower else [2, 0, 0, 0])


@pytest.mark.parametrize("units", tokenizer.UNITS)
def test_build_refuses_to_be_empty(units):
    for texts, options in (([], {}), (["", ""], {}), (["ab"], {"min_count": 2}),
                           (["ab"], {"size": 4})):  # fmt: skip
        with pytest.raises(UserError, match="would be empty.*--min-count"):
            Tokenizer.build(texts, units, **options)


def test_subwords_are_the_frequent_pieces():
    texts = ["low lower lowest"] * 5 + ["new newer newest"] * 6
    tok = Tokenizer.build(texts, "subwords", size=23, special=["<unk>"])
    pieces = [
        "we",
        "ne",
        "lo",
        " ne",
        " newe",
        "st",
        " lo",
        " lowe",
        " newer",
        " newest",
    ]
    assert tok.tokens[10:20] == pieces
    assert rows(tok, ["low newest lower"]) == [["lo", "w", " newest", " lower"]]
    whole = Tokenizer.build(texts, "subwords", special=["<unk>"])
    assert rows(whole, ["new newest lower"])[0] == ["new", " newest", " lower"]
    again = Tokenizer.build(iter(texts), "subwords", special=["<unk>"])
    assert again.tokens == whole.tokens


def test_subwords_are_cut_by_the_longest_piece():
    tok = Tokenizer(["a", "b", "c", "ab", "abcd", "bc"], "subwords", ["<unk>"])
    expected = [["ab", "c"], ["abcd"], [], ["ab", "ab", "<unk>", "bc"]]
    assert rows(tok, ["abc", "abcd", "", "ababxbc"]) == expected
    # A piece ends with its text, however the next one goes on.
    assert rows(tok, ["a", "b", "abc", "d"]) == [["a"], ["b"], ["ab", "c"], ["<unk>"]]
    long = "ab" * 700 + "abcd"
    assert rows(tok, ["c", long, "a"])[1] == ["ab"] * 700 + ["abcd"]


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": "letters"}, "'words', 'spaces'.*received 'letters'"),
        ({"fallback": "guess"}, "'unknown' or 'bytes', received 'guess'"),
        ({"fallback": "bytes"}, "needs units 'characters' or 'subwords'"),
        ({"special": ["<end>"]}, "special token <unk>"),
        ({"special": ["<unk>", "<end>", "<EOS>"]}, "one token for end"),
        ({"tokens": ["a", "b", "a"]}, r"different tokens.*\['a'\]"),
        ({"tokens": ["a", ""]}, "none empty"),
        ({"tokens": []}, "a token or more"),
        ({"tokens": ["ab"], "units": "characters"}, r"single characters.*\['ab'\]"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(UserError, match=message):
        Tokenizer(**{"tokens": ["a"]} | arguments)


def test_two_tokens_of_one_hash_are_an_error(monkeypatch):
    monkeypatch.setattr(tokenizer, "_BUCKETS", 2)
    with pytest.raises(ValueError, match="have the same hash"):
        Tokenizer(["a", "b", "c"])


def test_a_foreign_word_with_the_hash_of_a_token_is_unknown(monkeypatch):
    monkeypatch.setattr(tokenizer, "_BUCKETS", 1)
    tok = Tokenizer(["a"])
    assert tok.ids("a b").tolist() == [4, 1]


# JSON and exports


@pytest.mark.parametrize(
    "tok",
    [
        WORDS,
        SUBWORDS,
        CHARACTERS,
        Tokenizer(
            ['历\\"\n'], "spaces", ("<UNK>", "<EOS>"), True, rare=7, written=True
        ),
    ],
)
def test_json_round_trip(tok):
    again = Tokenizer.from_json(tok.to_json())
    assert again.to_json() == tok.to_json()
    assert (again.tokens, again.rare, again.rules) == (tok.tokens, tok.rare, tok.rules)
    assert "历" in tok.to_json()
    assert round_trip(again, CAPTIONS) == round_trip(tok, CAPTIONS)


@pytest.mark.parametrize("rules", [{",": "x"}, {",": -1}, {",": 2**20}, {",": True}])
def test_json_of_a_stranger_is_checked(rules):
    saved = json.loads(WORDS.to_json()) | {"rules": rules}
    with pytest.raises(UserError, match="rules"):
        Tokenizer.from_json(json.dumps(saved))


@pytest.mark.parametrize("tok", [WORDS, CHARACTERS, SUBWORDS])
def test_an_export_needs_neither_tables_nor_variables(tok, tmp_path):
    texts = tf.TensorSpec([None], tf.string)
    module = tf.Module()
    module.encode = tf.function(tok.encode, input_signature=[texts])
    module.offsets = tf.function(tok.encode_with_offsets, input_signature=[texts])
    module.decode = tf.function(
        tok.decode,
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
        ],
    )
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    kinds = {node.op for f in (loaded.encode, loaded.decode, loaded.offsets)
             for node in f.concrete_functions[0].graph.as_graph_def().node}  # fmt: skip
    assert not any("Table" in kind or "Var" in kind for kind in kinds)
    for some in (CAPTIONS, ["", "a"], [""], []):
        some = tf.constant(some, tf.string, [len(some)])
        ids, lengths = loaded.encode(some)
        np.testing.assert_array_equal(ids, tok.encode(some)[0])
        texts = loaded.decode(ids, lengths).numpy().tolist()
        assert texts == some.numpy().tolist()
        np.testing.assert_array_equal(loaded.offsets(some)[0], ids)


# Scores


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("A red Circle.", "a red circle"),
        ("woman: medium-light skin tone", "woman mediumlight skin tone"),
        ("“curly” ‘quotes’ – and dashes", "curly quotes and dashes"),
        ("ÉTÉ Straße ÄÖÜ", "été straße äöü"),
        ("男科学家: 中等-深肤色。", "男科学家 中等深肤色"),
        ("  tabs\tand\nlines\u00a0and\u3000wide  ", "tabs and lines and wide"),
        ("1 + 1 = 2 €", "1 1 2"),
        ("?!", ""),
        ("", ""),
        ("half an \ud83d emoji", "half an emoji"),
    ],
)
def test_what_counts_in_scores(raw, expected):
    assert tokenizer.normalised_for_scores([raw]) == [expected]
    assert tokenizer.normalised_for_scores([expected]) == [expected]
    assert tokenizer.normalised_for_scores([raw], "characters") == [
        expected.replace(" ", "")
    ]
    assert tokenizer.normalised_for_scores([]) == []


def test_scores_keep_the_shape_and_repair_what_is_no_utf8():
    raw = tf.constant([[b"A  b"], [b"caf\xe9 \xff\xfe"]])
    expected = [[b"a b"], [b"caf"]]
    assert tokenizer.normalise_for_scores(raw).numpy().tolist() == expected


@pytest.mark.parametrize(
    "token, kind",
    [("a", spacing.WORD), ("3.1", spacing.NUMBER), ("历", spacing.CHINESE),
     ("々", spacing.CHINESE), ("〇", spacing.CHINESE), ("か", spacing.WORD),
     ("。", spacing.MARK), ("😀", spacing.MARK), ("", spacing.WORD)],
)  # fmt: skip
def test_classes_of_tokens(token, kind):
    assert spacing.token_class(token) == kind
