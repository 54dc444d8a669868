"""The number of cores decides how many workers the embedded server gives a query."""

import pytest

from loader.embedded.tuning import server_settings
from loader.errors import UsageError


@pytest.mark.parametrize(
    ("cores", "of_a_query", "in_all"), [(1, "2", "8"), (4, "4", "8"), (16, "8", "16")]
)
def test_a_server_has_workers_for_the_cores(monkeypatch, cores, of_a_query, in_all):
    monkeypatch.setenv("TLC_CORES", str(cores))
    settings = server_settings()
    assert settings["max_parallel_workers_per_gather"] == of_a_query
    assert settings["max_parallel_maintenance_workers"] == of_a_query
    assert settings["max_parallel_workers"] == settings["max_worker_processes"] == in_all


@pytest.mark.parametrize("cores", ["0", "two", "1.5"])
def test_a_number_of_cores_that_cant_be_right_is_refused(monkeypatch, cores):
    monkeypatch.setenv("TLC_CORES", cores)
    with pytest.raises(UsageError, match=f"TLC_CORES='{cores}': write a number"):
        server_settings()
