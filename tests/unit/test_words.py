"""Words of messages."""

import pytest

from loader.terminal.words import count, duration


@pytest.mark.parametrize(
    ("number", "told"), [(0, "0 months"), (1, "1 month"), (2, "2 months"), (1_200, "1,200 months")]
)
def test_a_number_has_its_noun(number, told):
    assert count(number, "month") == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(9.6, "10 s"), (89, "89 s"), (90, "2 min"), (3_600, "60 min"), (12_600, "3.5 h")],
)
def test_a_time_has_the_unit_that_people_use(seconds, told):
    assert duration(seconds) == told
