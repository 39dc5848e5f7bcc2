"""Units that are known beforehand get the scores that they must have."""

import numpy as np
import pytest

from saccade.apps.char_lm.inspection import scoring
from saccade.apps.char_lm.inspection.probes import Probe

LENGTH = 8_000


@pytest.fixture(scope="module")
def noise():
    """Units that move slowly and know nothing, as the cells of a network do."""
    steps = np.random.default_rng(0).normal(size=(LENGTH, 40))
    units = np.zeros_like(steps)
    for t in range(1, LENGTH):
        units[t] = 0.95 * units[t - 1] + steps[t]
    return np.tanh(units / 5).astype(np.float32)


@pytest.fixture(scope="module")
def stretches():
    """Yes and no in turns of random length."""
    sizes = np.random.default_rng(1).integers(5, 60, LENGTH)
    return np.repeat(np.arange(LENGTH) % 2 == 1, sizes)[:LENGTH]


def test_a_unit_that_is_the_property_wins_with_score_1(noise, stretches):
    ramp = np.tile(np.arange(50, dtype=np.float32), LENGTH // 50)
    units = noise.copy()
    units[:, 7] = np.where(stretches, 0.3, 0.2)
    units[:, 9] = 1 - ramp / 50
    properties = [Probe("quoted", "", stretches), Probe("place", "", ramp)]
    results, left_out = scoring.score_all(units, noise, properties)
    assert not left_out
    quoted, place = sorted(results, key=lambda r: r.probe.name, reverse=True)
    assert (quoted.units[0], quoted.rises[0]) == (7, True)
    assert quoted.held_out[0] == 1
    assert (place.units[0], place.rises[0]) == (9, False)
    assert place.held_out[0] == pytest.approx(1, abs=1e-5)
    assert max(quoted.held_out[1], quoted.chance, place.held_out[1]) < 0.8
    assert quoted.untrained < quoted.chance
    assert quoted.clearness == 1


def test_units_that_know_nothing_stay_at_chance(noise, stretches):
    (result,), _ = scoring.score_all(noise, noise, [Probe("quoted", "", stretches)])
    assert 0.5 < result.chance < 0.75
    assert result.held_out[0] < result.chance


def test_what_the_untrained_network_has_is_no_merit(noise, stretches):
    units = noise.copy()
    units[:, 7] = stretches
    (result,), _ = scoring.score_all(units, units[:, ::-1], [Probe("", "", stretches)])
    assert result.held_out[0] == result.untrained == 1
    assert result.clearness == 0


def test_chance_is_higher_where_both_move_slowly(noise, stretches):
    quick = np.random.default_rng(2).permutation(stretches)
    properties = [Probe("slow", "", stretches), Probe("quick", "", quick)]
    results, _ = scoring.score_all(noise, noise, properties)
    chance = {r.probe.name: r.chance for r in results}
    assert chance["slow"] > chance["quick"] + 0.02


def test_the_score_is_of_the_second_half(noise, stretches):
    units = noise.copy()
    units[: LENGTH // 2, 3] = stretches[: LENGTH // 2]
    (result,), _ = scoring.score_all(units, noise, [Probe("quoted", "", stretches)])
    assert result.units[0] == 3  # the best, as far as the first half can tell
    assert result.held_out[0] < 0.6


def test_scores_agree_with_their_definitions(noise, stretches):
    units = noise[:, :1] + 0.5 * stretches[:, None]
    halves = scoring.Halves(units, np.arange(LENGTH), LENGTH // 2)
    x, y = units[LENGTH // 2 :, 0], stretches[LENGTH // 2 :]
    first = units[: LENGTH // 2, 0], stretches[: LENGTH // 2]

    def balanced(x, y, threshold):
        return (np.mean(x[y] > threshold) + np.mean(x[~y] <= threshold)) / 2

    levels = np.percentile(first[0], np.arange(scoring.LEVELS))
    best = max(levels, key=lambda level: balanced(*first, level))
    fit, held_out, rises = halves.score(stretches)
    assert fit[0] == pytest.approx(balanced(*first, best))
    assert held_out[0] == pytest.approx(balanced(x, y, best))
    assert rises[0]
    _, held_out, _ = halves.score(stretches.astype(np.float32))
    assert held_out[0] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-5)


def test_a_unit_that_never_moves_scores_nothing(stretches):
    units = np.full((LENGTH, 2), 0.7, np.float32)
    halves = scoring.Halves(units, np.arange(LENGTH), LENGTH // 2)
    assert halves.score(stretches)[1].tolist() == [0.5, 0.5]
    assert halves.score(stretches.astype(np.float32))[1].tolist() == [0, 0]


def test_what_is_too_rare_is_named_and_not_measured(noise):
    once = np.zeros(LENGTH, bool)
    once[100:200] = True
    properties = [
        Probe("once", "", once),
        Probe("flat", "", np.zeros(LENGTH, np.float32)),
    ]
    results, left_out = scoring.score_all(noise, noise, properties)
    assert not results
    assert "begins 1 and 0 times" in left_out["once"]
    assert "never changes" in left_out["flat"]
