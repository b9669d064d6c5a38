"""A clock that was set back brings no expired licence to life, and one that had jumped ahead can be put right."""

import glob
import io
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from adapters.cli import run
from domain.clock import Time, told
from domain.errors import ClockNotBehind
from domain.people.users import Edition
from infra.operating_system_user import operating_system_user
from infra.service import Service
from infra.settings import CHECKOUT, Settings
from infra.upkeep.doctor import checks
from tests.support.people import ALICE, method

LIBFAKETIME = os.environ.get("LIBFAKETIME") or next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
ME = operating_system_user()


class Answer(NamedTuple):
    code: int
    out: str
    err: str


def tmm(settings: Settings, *args: str) -> Answer:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = run(lambda: Service(settings), args)
    return Answer(code, out.getvalue(), err.getvalue())


@pytest.fixture
def licensed(settings: Settings) -> Settings:
    """An installation in which whoever runs the tests is commercial, for a day from now."""
    with Service(settings) as installation:
        installation.migrate()
        keys = settings.home / "keys"
        installation.licences.generate_pair(keys)
        installation.licences.trust((keys / "public.pem").read_bytes())
        licence = settings.home / "a.licence"
        installation.licences.issue(keys / "private.pem", customer="Acme", users=[ME], days=1, out=licence)
        installation.licences.install(licence.read_bytes())
        assert installation.user().is_commercial
    return settings


def record_with_a_clock_ahead(settings: Settings, ahead: timedelta) -> None:
    """The newest entry is one that was recorded while the clock was so far ahead of what it is now."""
    if settings.database_url:
        with psycopg.connect(settings.database_url) as connection:
            connection.execute("UPDATE tmm.log_head SET recorded_at = clock_timestamp() + %s", (ahead,))
        with Service(settings) as installation:
            installation.catalogue.modify("custom01", {"description": "Recorded ahead."}, by=ALICE)
        return
    with Service(settings) as installation:
        installation.catalogue.modify("custom01", {"description": "Recorded ahead."}, by=ALICE)
    with closing(sqlite3.connect(settings.sqlite_file)) as connection, connection:
        then = (datetime.now(UTC) + ahead).isoformat(timespec="microseconds")
        connection.execute("DROP TRIGGER stored_events_are_not_updated")
        connection.execute(
            "UPDATE stored_events SET recorded_at = ? WHERE rowid = (SELECT max(rowid) FROM stored_events)", (then,)
        )
        connection.execute("DROP TABLE views_form")  # so that the views are made anew
    with Service(settings) as installation:
        installation.migrate()


def test_a_licence_that_had_expired_by_the_newest_entry_stays_expired(licensed: Settings) -> None:
    record_with_a_clock_ahead(licensed, timedelta(days=900))
    answer = tmm(licensed, "delete", "sft-demo", "--yes")
    assert answer.code == 3
    assert "expired on" in answer.err
    assert "clock is 899 days behind the newest entry of the log" in answer.err
    with Service(licensed) as installation:
        assert installation.user().entitlement.edition is Edition.NONCOMMERCIAL  # before the store is open
        assert installation.auditing.entries()[-1].outcome == "refused"
        assert installation.user().entitlement.edition is Edition.NONCOMMERCIAL  # and after
    assert "expired on" in tmm(licensed, "licence", "show").out


def test_doctor_says_that_the_clock_is_far_behind_and_what_to_do(licensed: Settings) -> None:
    record_with_a_clock_ahead(licensed, timedelta(days=900))
    with Service(licensed) as installation:
        (clock,) = [check for check in checks(installation) if check.name == "clock"]
    assert not clock.ok
    assert "tmm audit accept-clock" in clock.words


def test_an_operator_accepts_the_clock_after_it_had_jumped_ahead(licensed: Settings) -> None:
    record_with_a_clock_ahead(licensed, timedelta(days=900))
    answer = tmm(licensed, "audit", "accept-clock")
    assert answer.code == 0, answer.err
    assert "Time counts from" in answer.out
    assert tmm(licensed, "delete", "sft-demo", "--yes").code == 0
    with Service(licensed) as installation:
        *_, ahead, accepted, deleted = installation.auditing.entries()
        assert (accepted.action, accepted.actor, deleted.action) == ("accept-clock", ME, "delete")
        assert ahead.recorded_at - accepted.recorded_at > timedelta(days=899)
        assert deleted.recorded_at >= accepted.recorded_at
        times = {change.field: change.after for change in accepted.changes}
        assert datetime.fromisoformat(times["newest"]) == ahead.recorded_at
        assert accepted.recorded_at - datetime.fromisoformat(times["accepted"]) < timedelta(minutes=5)
        verified = installation.proof.verify()
        assert verified.findings == ()
        assert [note.position for note in verified.notes] == [accepted.position]
        (clock,) = [check for check in checks(installation) if check.name == "clock"]
        assert clock.ok
    answer = tmm(licensed, "audit", "verify")
    assert answer.code == 0
    assert f"entry {accepted.position}: the clock was accepted: time had come to" in answer.err


def test_a_clock_that_is_not_behind_is_nothing_to_accept(licensed: Settings) -> None:
    with Service(licensed) as installation:
        entries = len(installation.auditing.entries())
        with pytest.raises(ClockNotBehind):
            installation.operating.accept_clock(by=ALICE)
        assert len(installation.auditing.entries()) == entries
    assert tmm(licensed, "audit", "accept-clock").code == 2


def test_nothing_but_accepting_the_clock_brings_time_back(licensed: Settings) -> None:
    record_with_a_clock_ahead(licensed, timedelta(days=900))
    with Service(licensed) as installation:
        service = installation
        service.catalogue.add(method(), by=ALICE)
        service.operating.rebuild_views(by=ALICE)
        installation.proof.make_checkpoint(by=ALICE)
        times = [entry.recorded_at for entry in service.auditing.entries()]
        assert times == sorted(times)
        assert times[-1] - datetime.now(UTC) > timedelta(days=899)


def test_the_time_of_a_log_that_is_not_there_is_the_machines_and_makes_no_file(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", backends="cuda")
    with Service(settings) as installation:
        assert installation.clock.time().newest is None
        assert "no licence is installed" in tmm(settings, "licence", "show").out
    assert not settings.sqlite_file.exists()


def test_without_the_time_of_the_log_nobody_is_commercial(licensed: Settings) -> None:
    if not licensed.database_url:
        licensed.sqlite_file.write_bytes(b"no database" * 1000)
        elsewhere = licensed
    else:
        elsewhere = licensed.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/nothing"})
    with Service(elsewhere) as installation:
        assert "it cannot be told what time it is" in installation.user().entitlement.because


NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("time", "now", "problem"),
    [
        (Time(NOON, NOON), NOON, None),
        (Time(NOON, NOON, NOON - HOUR), NOON, None),
        (Time(NOON, NOON, NOON + SECOND), NOON + SECOND, None),
        (Time(NOON, NOON, NOON + HOUR), NOON + HOUR, "this machine's clock is 1 hour behind the newest entry"),
        (Time(NOON, NOON + HOUR, NOON), NOON + HOUR, "this machine's clock is 1 hour behind the database's"),
        (Time(NOON, NOON - HOUR, NOON + HOUR), NOON + HOUR, "the database's clock is 2 hours behind the newest entry"),
        (Time(NOON + HOUR, NOON, NOON), NOON, None),
    ],
)
def test_the_later_time_counts_and_a_clock_far_behind_is_said(time: Time, now: datetime, problem: str | None) -> None:
    assert time.now == now
    assert (time.problem or "").startswith(problem or "")
    assert (time.problem is None) == (problem is None)


@pytest.mark.parametrize(
    ("span", "words"),
    [(timedelta(days=3, hours=5), "3 days"), (timedelta(minutes=61), "1 hour"), (SECOND, "less than a minute")],
)
def test_a_span_is_told_in_its_largest_unit(span: timedelta, words: str) -> None:
    assert told(span) == words


@pytest.fixture
def faked(licensed: Settings) -> Settings:
    if LIBFAKETIME is None:
        pytest.skip("libfaketime is not installed")
    return licensed


def tmm_at(settings: Settings, moment: str, *args: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a process whose clock is so far off."""
    fake = {"LD_PRELOAD": str(LIBFAKETIME), "FAKETIME": moment, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return subprocess.run(
        [sys.executable, "-m", "infra.main", *args],
        env=os.environ | settings.as_environment() | fake | {"PYTHONPATH": str(CHECKOUT)},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.processes
def test_a_process_whose_clock_is_faked_finds_its_licence_expired_all_the_same(faked: Settings) -> None:
    key, file = faked.home / "keys" / "private.pem", faked.home / "short.licence"
    for installed in faked.licences.glob("*.licence"):
        installed.unlink()
    issue = (
        "licence",
        "issue",
        "--key",
        str(key),
        "--customer",
        "Acme",
        "--users",
        ME,
        "--days",
        "5",
        "--out",
        str(file),
    )
    assert tmm_at(faked, "-9d", *issue).returncode == 0
    (faked.licences / "short.licence").write_bytes(file.read_bytes())
    # The licence held from nine to four days ago, and the log has entries of today.
    answer = tmm_at(faked, "-7d", "delete", "sft-demo", "--yes")
    assert answer.returncode == 3, answer.stderr
    assert "expired on" in answer.stderr
    assert "this machine's clock is" in answer.stderr
    accepted = tmm_at(faked, "-7d", "audit", "accept-clock")
    if faked.database_url:
        assert accepted.returncode == 2  # the server's clock is right, whatever the machine's says
    else:
        assert accepted.returncode == 0  # it can be done on a machine of one's own, and is seen
        assert "the clock was accepted" in tmm_at(faked, "-7d", "audit", "verify").stderr
