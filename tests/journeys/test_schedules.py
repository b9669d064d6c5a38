"""Schedules: Prefect makes the runs that a deployment's schedule asks for."""

import pytest

from tests.journeys.conftest import Machine, eventually

pytestmark = pytest.mark.journey


def test_what_keeps_runs_from_being_stuck_is_scheduled(machine: Machine) -> None:
    def due() -> bool:
        scheduled = {"tags": {"all_": ["auto-scheduled"]}, "state": {"type": {"any_": ["SCHEDULED"]}}}
        found = machine.prefect(
            "POST", "/flow_runs/filter", flow_runs=scheduled, flows={"name": {"any_": ["reconcile"]}}, limit=5
        )
        return len(found) > 0

    eventually(due, within=90, what="the next scheduled runs of reconcile")
