"""Pairs of sentences that sound alike."""

import collections
import sys

import numpy as np
import pytest

from saccade.apps.core.errors import UserError
from saccade.apps.core.run import Run
from saccade.apps.core.tasks.signatures import Answerer
from saccade.apps.word_lm import APP, vocabulary

from .benchmark import load_benchmark

confusions = load_benchmark("confusions")

SOUNDS = {"是": "shi", "事": "shi", "市": "shi", "里": "li", "力": "li", "大": "da"}
SENTENCE = ["是", "大", "事", "里", "大", "力"]


@pytest.fixture
def toy(monkeypatch):
    """Pronunciations without the package."""
    monkeypatch.setattr(
        confusions, "sound", lambda token: " ".join(SOUNDS[c] for c in token)
    )


def test_sentences_are_whole_chinese_and_of_some_length():
    line = [*SENTENCE, "。", *SENTENCE, "，", "大", "！", "大", "里", "力", "。", "大"]
    lines = [line, ["ａ", *SENTENCE, "。", *SENTENCE, "。"], ["大事里大力", "里", "。"]]
    assert confusions.sentences(lines) == [SENTENCE, [*SENTENCE, "，", "大"]]


def test_only_common_tokens_of_the_same_sound_stand_in(toy):
    counts = collections.Counter({"是": 99, "事": 30, "市": 29, "里": 99, "，": 99})
    alike = confusions.sounding_alike(counts)
    assert alike("是") == ["事"]
    assert alike("市") == ["事", "是"]  # rare itself, and replaced by the common
    assert alike("力") == ["里"] and alike("里") == []
    assert alike("大") == []


def test_every_kind_of_pair(toy):
    training = [list("是事市里力大") * confusions.COMMON]
    held_out = [
        [*SENTENCE[i:], *SENTENCE[:i], "大", *SENTENCE[j:], "。"]
        for i in range(6)
        for j in range(4)
    ]
    pairs = confusions.pairs(held_out, training, count=12)
    assert pairs == confusions.pairs(held_out, training, count=12)
    assert pairs != confusions.pairs(held_out, training, count=12, seed=1)
    assert [kind for kind, _, _ in pairs] == list(confusions.KINDS) * 4
    assert len({right for _, right, _ in pairs}) == 12
    for kind, right, wrong in pairs:
        assert right != wrong and len(right) == len(wrong)
        changed = sum(a != b for a, b in zip(right, wrong, strict=True))
        if kind == "shuffle":
            assert sorted(right) == sorted(wrong)
        else:
            assert [SOUNDS[c] for c in right] == [SOUNDS[c] for c in wrong]
            assert changed == (1 if kind == "word" else max(2, len(right) // 3))


def test_too_little_text_is_an_error(toy):
    with pytest.raises(UserError, match="gives 0 pairs of the 5 wanted"):
        confusions.pairs([["大", "。"]], [SENTENCE], count=5)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypinyin", None)
    with pytest.raises(UserError, match="pip install pypinyin"):
        confusions.sound("大")


def test_what_sounds_alike_in_pinyin():
    pytest.importorskip("pypinyin", reason="pypinyin is not installed")
    right, wrong = confusions.LECTURE
    assert confusions.sound(right) == confusions.sound(wrong)
    assert confusions.sound("重演") == confusions.sound("虫眼")  # chóng, not zhòng
    assert confusions.sound("身") == confusions.sound("生")  # n and ng
    assert confusions.sound("是") == confusions.sound("四")  # sh and s
    assert confusions.sound("大") != confusions.sound("里")


def test_the_benchmark_counts_what_is_ranked_right():
    rank = load_benchmark("rank")
    # A network of zeros finds a line the less likely the longer it is.
    words = vocabulary.words(["大", "力"], "characters", rare=9)
    task = APP.task_for(APP.presets["tiny"](), words)
    model = task.build_model()
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    pairs = [
        ("characters", "大", "大力"),
        ("word", "大", "事"),
        ("shuffle", "大力", "力大"),
    ]
    shares, rows = rank.measure(Run(APP, Answerer(task, model), None), pairs)
    assert shares["all"]["pairs"] == 3 and shares["word"]["pairs"] == 1
    found = {kind: (s["scores"], s["log_probs"]) for kind, s in shares.items()}
    assert found["characters"] == (100, 100)
    assert found["word"] == (100, 0)  # <UNK> alone is as likely as any other
    assert found["shuffle"] == (0, 0)
    assert found["all"] == pytest.approx((200 / 3, 100 / 3))
    assert [row["right"] for row in rows] == ["大", "大", "大力"]
