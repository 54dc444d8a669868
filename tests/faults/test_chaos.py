"""A few rounds of `make chaos`, at the moments that have been hardest for loaders like this one."""

from collections.abc import Iterator

import pytest

from tests.chaos import Plan, Rig, check, play, stocked_rig

pytestmark = pytest.mark.slow

MONTH, NEW = ("2021-02",), ("2021-03",)
ROUNDS = [
    # The part is committed, and dlt doesn't know it yet.
    Plan(1, "load", False, "green", MONTH, True, (("SIGKILL", "copied"),)),
    Plan(2, "load", True, "yellow", NEW, False, (("server stopped at once", "copying"),)),
    # dbt outlives the loader that started it, and the command is run again beside it.
    Plan(3, "run", False, "green", MONTH, True, (("SIGKILL", "merging"),)),
    Plan(4, "run", False, "yellow", MONTH, False, (("killed, dlt's folder wiped", "merged"),)),
    Plan(5, "build", False, "green", NEW, False, (("sessions terminated", "merging"),)),
    # The month is merged, and not all marts count it.
    Plan(6, "run", False, "yellow", MONTH, False, (("server killed", "zone_pairs"),)),
    Plan(7, "run", False, "green", NEW, False, (("SIGKILL of dbt", "merged"),), csv=True),
]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """A stocked warehouse on a server of its own."""
    with stocked_rig() as made:
        yield made


@pytest.mark.parametrize("plan", ROUNDS, ids=str)
def test_after_a_disturbance_the_same_command_makes_it_exact(rig, plan):
    phases, problems = play(rig, plan)
    assert problems == []
    assert len(phases) == len(plan.disturbances)


def test_a_seed_makes_the_same_plan_again():
    assert [Plan.of_seed(seed) for seed in range(9)] == [Plan.of_seed(seed) for seed in range(9)]
    assert len({str(Plan.of_seed(seed)) for seed in range(99)}) > 90


def test_what_is_wrong_is_found(rig):
    """The comparison itself is tried: with a row changed, one lost, one doubled, a table left."""
    plan = Plan(8, "load", False, "green", MONTH, False, ())
    assert play(rig, plan) == ([], [])
    for damage, told in {
        "update tlc.yellow_tripdata set tip_amount = 1e6 where file_row = 7": "tip_amount, row 7",
        "delete from tlc.green_tripdata where file_row = 9": "stored green 2021-01",
        "insert into tlc_raw.green_tripdata select * from tlc_raw.green_tripdata limit 1": "landed",
        "create table tlc_raw.green_tripdata_2021_02__1_2__3_4 (n int)": "is left",
        "update tlc.file_ledger set rows_removed = 1": "ledger of",
        "update tlc_marts.zone_pairs set trips = 9 where dataset = 'fhv'": "zone_pairs of fhv",
        "delete from tlc_raw.month_files where dataset = 'yellow'": "month_files of yellow 2021-01",
    }.items():
        rig.workspace.query(damage)
        assert told in "; ".join(check(rig, plan)), damage
