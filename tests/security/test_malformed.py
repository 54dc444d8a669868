"""A fixed set of malformed files through the whole landing; `make fuzz` runs as many as wanted."""

import pytest

from loader.errors import FileRefusedError
from loader.landing.conform import Conformer
from tests.security.fuzz import outcomes
from tests.security.mutants import MONTHS, ROWS, good_file, mutant, with_rows_in_footer

SEED, ROUNDS = 7, 70


@pytest.mark.slow
def test_each_mutant_is_refused_or_loaded_right(server):
    told = list(outcomes(server, SEED, range(ROUNDS)))
    assert [number for number, *_ in told] == list(range(ROUNDS))
    assert [one for one in told if one[1] == "wrong"] == []
    assert {outcome for _, outcome, *_ in told} == {"refused", "loaded"}


def test_a_seed_and_a_number_make_the_same_mutant_again():
    assert mutant(SEED, 3) == mutant(SEED, 3)
    assert len({mutant(SEED, number).kind for number in range(300)}) > 10
    assert {mutant(SEED, number).dataset for number in range(ROUNDS)} == MONTHS.keys()


@pytest.mark.parametrize("rows", [-1, 1, ROWS - 1, ROWS + 1, 2**62])
def test_a_footer_that_tells_another_number_of_rows_is_refused(tmp_path, rows):
    path = tmp_path / "file.parquet"
    path.write_bytes(with_rows_in_footer(good_file("green"), rows))
    with pytest.raises(FileRefusedError, match=f"green 2023-01: .*footer says {rows} rows"):
        list(Conformer("green", MONTHS["green"], path).batches())


def test_pages_that_hold_fewer_rows_than_the_footer_says_are_refused(tmp_path):
    one = mutant(SEED, 48)
    path = tmp_path / "file.parquet"
    path.write_bytes(one.content)
    with pytest.raises(FileRefusedError, match=f"0 rows where the footer says {ROWS}"):
        list(Conformer(one.dataset, MONTHS[one.dataset], path).batches())
