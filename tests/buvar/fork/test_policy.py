"""The rules for restarts and replacements."""

import statistics

import pytest

from buvar.fork import Supervision


def test_pauses_double_and_are_spread():
    """Facts 3b: 0.2 s, doubling up to 10 s, and never twice the same."""
    rules = Supervision()
    middles = [statistics.mean(rules.delay(failures) for _ in range(400)) for failures in (1, 2, 3, 6, 7, 1000)]

    for middle, expected in zip(middles, [0.2, 0.4, 0.8, 6.4, 10.0, 10.0], strict=True):
        assert abs(middle / expected - 1) < 0.05
    assert len({rules.delay(1) for _ in range(10)}) > 1


def test_lifetimes_are_spread():
    """Workers that start together are not replaced together."""
    ages = {Supervision(max_lifetime=100).lifetime() for _ in range(50)}

    assert all(90 <= age <= 110 for age in ages)
    assert len(ages) > 1
    assert Supervision().lifetime() is None


def test_signs_of_life_fit_the_limit():
    """Several signs of life fit into the time after which a worker counts as hanging."""
    assert Supervision(hang_timeout=30).beat == 1.0
    assert Supervision(hang_timeout=0.4).beat == 0.1
    assert Supervision(hang_timeout=None).beat == 1.0


def test_nothing_is_negative():
    """A rule below zero is refused, by its name."""
    with pytest.raises(ValueError, match="max_failures=-1: it cannot be negative"):
        Supervision(max_failures=-1)
    assert Supervision(backoff=0, grace=0).grace == 0
