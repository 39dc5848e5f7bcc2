import math

import pytest
import sacrebleu

from saccade.apps.core.report.metrics import caption_metrics, cider_d, label_metrics


def test_a_right_sentence_is_100_percent():
    hypotheses = ["a red circle above a square", "two dogs run on the beach"]
    references = [["a big red dot", hypotheses[0]], [hypotheses[1]]]
    figures = caption_metrics(hypotheses, references)
    for name in ("exact_match", "bleu1", "bleu2", "bleu3", "bleu4", "bleu", "chrf"):
        assert figures[name] == pytest.approx(100), name


def test_bleu_and_chrf_are_sacrebleus():
    hypotheses = ["a red circle above a square", "the dogs run", "nothing at all here"]
    references = ["a red circle below a square", "the dogs walk", "something else"]
    figures = caption_metrics(hypotheses, [[r] for r in references])
    bleu = sacrebleu.corpus_bleu(hypotheses, [references])
    assert figures["bleu"] == figures["bleu4"] == pytest.approx(bleu.score)
    assert figures["chrf"] == sacrebleu.corpus_chrf(hypotheses, [references]).score
    # 10 of 13 words are right; the hypotheses are longer than the references.
    right = 5 + 2 + 0
    assert figures["bleu1"] == pytest.approx(100 * right / 13)
    assert figures["exact_match"] == 0


def test_any_reference_counts_and_pictures_may_have_different_numbers():
    hypotheses = ["a b c d e", "f g h i j", "k l m n o"]
    references = [["x", "a b c d e"], ["f g h i j"], ["y", "z", "k l m n"]]
    figures = caption_metrics(hypotheses, references)
    assert figures["exact_match"] == pytest.approx(100 * 2 / 3)
    assert figures["bleu1"] == pytest.approx(100 * 14 / 15)


def test_several_references_are_sacrebleus_streams():
    hypotheses = ["a red circle above a square", "the dogs run fast", "a cat"]
    streams = [
        ["a red circle below a square", "the dogs run quickly", "one cat"],
        ["a square with a red circle above", "dogs that run fast", "a black cat"],
    ]
    references = [list(r) for r in zip(*streams, strict=True)]
    figures = caption_metrics(hypotheses, references)
    assert figures["bleu"] == sacrebleu.corpus_bleu(hypotheses, streams).score
    assert figures["chrf"] == sacrebleu.corpus_chrf(hypotheses, streams).score
    turned = caption_metrics(hypotheses, [r[::-1] for r in references])
    assert turned == pytest.approx(figures)


def test_characters():
    figures = caption_metrics(["历史书", "猫"], [["历史课"], ["猫"]], "characters")
    assert figures["exact_match"] == 50
    assert figures["bleu1"] == pytest.approx(75)
    words = caption_metrics(["历史书", "猫"], [["历史课"], ["猫"]])
    assert words["bleu1"] == pytest.approx(50)


def test_empty_captions_are_wrong_and_no_error():
    figures = caption_metrics(["", ""], [["a cat"], ["a dog"]])
    assert set(figures.values()) == {0.0}


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "received 0 and 0"),
        (["a"], [["a"], ["b"]], "received 1 and 2"),
        (["a", "b"], [["a"], []], "picture 1 has none"),
    ],
)
def test_errors(hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        caption_metrics(hypotheses, references)


def test_cider_d_by_hand():
    """Two pictures, "a b" and "a c"; the caption of the first is "b b a".

    The unigram a is in both pictures and weighs log(2/2) = 0; b and c, and the
    bigrams a b and a c, weigh log 2. Picture 1, unigrams: the caption is (b: 2 log 2),
    the reference (b: log 2). Clipped: min(2, 1) * 1 / (2 * 1) = 1/2. Bigrams b b and
    b a (in no reference) share nothing with a b. One word too long: exp(-1/72).
    Picture 2 is right: 1 for unigrams and bigrams, and no longer n-grams exist.
    """
    first = 0.5 * math.exp(-1 / 72)
    expected = 10 * (first + 1 + 1) / 4 / 2
    assert cider_d(["b b a", "a c"], [["a b"], ["a c"]]) == pytest.approx(expected)


def test_cider_d_is_the_mean_over_references():
    hypotheses = ["a b c d", "e f g h"]
    one = cider_d(hypotheses, [["a b c d"], ["e f g h"]])
    assert one == pytest.approx(10)
    two = cider_d(hypotheses, [["a b c d", "x y z w"], ["e f g h", "q r s t"]])
    assert two == pytest.approx(5)


def test_cider_d_of_right_captions():
    """It is 10 only where every length n has n-grams that tell pictures apart."""
    assert cider_d(["a b c", "d e f"], [["a b c"], ["d e f"]]) == pytest.approx(7.5)
    # Every n-gram is in every picture, so none says anything.
    assert cider_d(["a b c d"] * 2, [["a b c d"]] * 2) == 0
    assert cider_d(["a b c d"], [["a b c d"]]) == 0


def test_cider_d_by_hand_with_two_references_and_weights():
    """Three pictures: "a b" or "b", "a c", "d". The caption of the first is "a b b".

    Pictures that hold a: 2, so a weighs u = log(3/2); b, c, d and the bigrams a b and
    a c weigh v = log 3. Unigrams, caption (a: u, b: 2v):
    - with "a b", (a: u, b: v): (u u + v v) / sqrt((u u + 4 v v)(u u + v v)), times
      exp(-1/72), as the caption is one word longer;
    - with "b", (b: v): v v / (sqrt(u u + 4 v v) v), times exp(-4/72).
    Bigrams, caption (a b: v, b b: log(3 / 1) = v, for what is in no reference counts
    as in one): with "a b" v v / (sqrt(2) v v), times exp(-1/72); "b" has none.
    The other captions, "x" and "", score 0. Mean over two references, four n, three
    pictures, times 10.
    """
    u, v = math.log(3 / 2), math.log(3)
    near, far = math.exp(-1 / 72), math.exp(-4 / 72)
    norm = math.sqrt(u * u + 4 * v * v)
    ones = (near * math.sqrt(u * u + v * v) / norm + far * v / norm) / 2
    twos = near / math.sqrt(2) / 2
    score = cider_d(["a b b", "x", ""], [["a b", "b"], ["a c"], ["d"]])
    assert score == pytest.approx(10 * (ones + twos) / 4 / 3)


def test_cider_d_of_characters():
    assert cider_d(
        ["红色圆形", "蓝色方块"], [["红色圆形"], ["蓝色方块"]], "characters"
    ) == (pytest.approx(10))


def test_scores_of_labels():
    # a: 2 right of 3 answered and 2 there; b: 1 of 2, and 2; c: 0 of 1; d: 0 of 0, 1
    answers, truths = [*"aaabbc"], [*"aabba", "d"]
    figures = label_metrics(answers, truths, [1.0, 1.0, 0.75, 0.75, 0.25, 0.25])
    assert figures["accuracy"] == pytest.approx(100 * 3 / 6)
    expected = [2 * 2 / (3 + 3), 2 * 1 / (2 + 2), 0, 0]
    assert figures["macro_f1"] == pytest.approx(100 * sum(expected) / 4)
    assert figures["majority"] == pytest.approx(100 * 3 / 6)
    assert figures["answered"] == 100
    assert figures["classes"]["b"] == pytest.approx(
        {"precision": 50, "recall": 50, "f1": 50, "count": 2}
    )
    assert figures["confusion"]["a"] == {"a": 2, "b": 1, "c": 0, "d": 0}
    # Bins: two right of 1.0; of 0.75 one right of two; of 0.25 none of two.
    gaps = [0.0, 0.25, 0.25]
    assert figures["calibration_error"] == pytest.approx(100 * sum(gaps) / 3)


def test_where_a_label_is_missing():
    figures = label_metrics(["a", "", "b"], ["a", "a", "b"], [1.0, 0.2, 1.0])
    assert figures["answered"] == pytest.approx(100 * 2 / 3)
    assert figures["accuracy"] == pytest.approx(100 * 2 / 3)
    assert figures["confusion"]["a"] == {"a": 1, "b": 0, "": 1}
    assert figures["calibration_error"] == 0
    nothing = label_metrics(["", ""], ["a", "b"], [0.5, 0.5])
    assert nothing["accuracy"] == nothing["macro_f1"] == nothing["answered"] == 0


def test_scores_of_labels_need_labels():
    with pytest.raises(ValueError, match="as many labels and scores as references"):
        label_metrics(["a"], [], [1.0])


def test_hundreds_of_labels_are_no_numbers():
    names = [f"{i}" for i in range(200)]
    figures = label_metrics(names, names, [1.0] * 200)  # warnings are errors
    assert figures["accuracy"] == 100 and len(figures["classes"]) == 200
