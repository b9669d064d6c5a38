"""Every event can be read by a process that has never written one."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "topic",
    [
        "training-method.preinstalled",
        "training-method.added",
        "training-run.failed",
        "action.refused",
        "licence.installed",
        "licence.removed",
    ],
)
def test_a_fresh_process_knows_every_topic(topic: str) -> None:
    code = f"import domain.service; from eventsourcing.utils import resolve_topic; resolve_topic({topic!r})"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
