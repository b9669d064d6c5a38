"""`tmm audit --follow` shows entries as they come, and ends cleanly when it is told to, on both databases."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from infra.service import Service
from infra.settings import Settings
from tests.support.people import ALICE, BOB, method

DEADLINE_S = 60


class Follower:
    """The command in a process of its own, as somebody at a terminal has it."""

    def __init__(self, settings: Settings, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.main", "audit", "--follow", "--format", "jsonl", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"TMM_HOME": str(settings.home), "TMM_DATABASE_URL": settings.database_url},
        )
        self._said = b""

    def next_entries(self, number: int) -> list[dict[str, Any]]:
        """So many entries more; whatever comes with them is for the next call."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            ends = time.monotonic() + DEADLINE_S
            while self._said.count(b"\n") < number:
                assert selector.select(ends - time.monotonic()), f"only {self._said.decode()!r} came"
                more = os.read(self.process.stdout.fileno(), 65536)
                assert more, "it ended"
                self._said += more
        *lines, self._said = self._said.split(b"\n", number)
        return [json.loads(line) for line in lines]

    def end(self) -> tuple[int, str, str]:
        """Interrupt it: its exit code, what it still wrote, and what it said of it."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, (self._said + out).decode(), err.decode()


@pytest.fixture
def followers() -> Iterator[list[Follower]]:
    started: list[Follower] = []
    yield started
    for follower in started:
        follower.process.kill()
        follower.process.communicate()


def test_entries_are_shown_as_they_come_and_an_interrupt_ends_it_cleanly(
    settings: Settings, followers: list[Follower]
) -> None:
    with Service(settings) as installation:
        installation.migrate()
        service = installation
        there = service.auditing.entries()[-1].position
        everything, deletions = Follower(settings), Follower(settings, "--action", "delete")
        followers += [everything, deletions]
        assert [entry["position"] for entry in everything.next_entries(there)] == [*range(1, there + 1)]

        service.catalogue.add(method("sft-one"), by=ALICE)
        assert [(entry["position"], entry["actor"]) for entry in everything.next_entries(1)] == [(there + 1, "alice")]
        with pytest.raises(Exception, match="commercial users only"):
            service.catalogue.delete("sft-one", by=BOB)
        service.catalogue.delete("sft-one", by=ALICE)
        assert [entry["outcome"] for entry in everything.next_entries(2)] == ["refused", "done"]
        assert [entry["position"] for entry in deletions.next_entries(2)] == [there + 2, there + 3]

        assert everything.end() == deletions.end() == (130, "", "\nInterrupted.\n")
