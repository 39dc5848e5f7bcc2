"""The embedded sentences: the verb agrees with the subject, however far it is."""

import collections

import pytest

from saccade.apps.word_lm import grammar

SINGULAR = {singular for singular, _ in grammar.NOUNS + grammar.VERBS}
PLURAL = {plural for _, plural in grammar.NOUNS + grammar.VERBS}


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 5, 8, 20, 60])
def test_the_verb_stands_at_its_distance_and_agrees(distance):
    items = grammar.agreement(distance, 40, seed=1)
    assert len(items) == 40
    for i, (before, right, wrong, after) in enumerate(items):
        subject = before[len(before) - distance]
        numbers = (SINGULAR, PLURAL) if i % 2 == 0 else (PLURAL, SINGULAR)
        assert subject in numbers[0] and right in numbers[0]
        assert wrong in numbers[1]
        assert after[-1] == "."
        assert len(before) - distance == (1 if before[1] == subject else 2)


def test_the_nearest_noun_tells_nothing():
    agree = 0
    nouns = dict(grammar.NOUNS)
    plurals = set(nouns.values())
    for before, right, *_ in grammar.agreement(12, 400, seed=0):
        nearest = [word for word in before[2:] if word in nouns or word in plurals][-1]
        agree += (nearest in plurals) == (right in PLURAL)
    assert 150 < agree < 250


def test_pure_functions_of_their_arguments():
    assert grammar.sentences(50, seed=3) == grammar.sentences(50, seed=3)
    assert grammar.sentences(50, seed=3) != grammar.sentences(50, seed=4)
    assert grammar.agreement(5, 9, seed=0) == grammar.agreement(5, 9, seed=0)


def test_every_word_is_frequent():
    counts = collections.Counter(" ".join(grammar.sentences(4000, 0)).split())
    known = {w for pair in grammar.NOUNS + grammar.VERBS for w in pair}
    assert known <= counts.keys()
    assert min(counts.values()) > 100


def test_no_distance_of_nothing():
    with pytest.raises(ValueError, match="1 or more, received 0"):
        grammar.agreement(0, 1, seed=0)


def test_the_lectures_sentence_is_one_of_its_own():
    """The words are few, but such a clause comes."""
    lines = grammar.sentences(4000, 0)
    assert any(", which already ate a bunch of food ," in line for line in lines)
    assert any(line.endswith((" was full .", " were full .")) for line in lines)
