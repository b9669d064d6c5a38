"""The start-up check notices every difference that matters, and says it in one sentence."""

import pytest

from adapters.prefect.warm_worker import compatibility
from adapters.prefect.warm_worker.compatibility import LEANS_ON, why_not_here, why_not_with_this_prefect


def test_the_pinned_prefect_is_as_the_warm_worker_knows_it() -> None:
    assert why_not_here() is None
    assert why_not_with_this_prefect() is None


def test_another_version_of_prefect_is_not_leant_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatibility, "PREFECT", "3.8.7")
    assert why_not_here() == "Runs start warm with Prefect 3.8.7 only, and this is 3.8.8."


def test_other_systems_than_linux_do_not_start_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert why_not_here() == "This is not Linux, where alone runs can start warm."


@pytest.mark.parametrize("address", LEANS_ON)
def test_a_part_that_takes_something_else_is_noticed(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(compatibility, "LEANS_ON", {address: ("something_else",)})
    assert (why_not_with_this_prefect() or "").startswith(f"Runs cannot start warm with this Prefect: {address} takes ")


@pytest.mark.parametrize("address", ["prefect.no_module:Name", "prefect.context:no_name"])
def test_a_part_that_is_not_there_is_noticed(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(compatibility, "LEANS_ON", {address: ()})
    assert (why_not_with_this_prefect() or "").startswith(
        f"Runs cannot start warm with this Prefect: {address} is not there ("
    )
