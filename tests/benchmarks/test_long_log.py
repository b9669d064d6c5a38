"""Queries of a log of a million entries, and its verification, on both databases. Only under --full.

TMM_BENCHMARK_ENTRIES makes the log shorter; TMM_BENCHMARK_HOME and TMM_BENCHMARK_DATABASE_URL name places where logs
were left by an earlier run, or are to be left. Times are printed, and which of them miss the aim; what is asserted are
the plans: nothing walks the table.
"""

import gc
import os
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from adapters.store.tables import create_tables
from domain.audit.read_models import AuditEntry, AuditQuery, CountBy
from infra.settings import Settings
from infra.verifying import VerifyingBeside
from tests.benchmarks.long_log import ACTORS, BEGAN, METHODS, write
from tests.support.people import TRAINERS
from tests.support.services import Services

pytestmark = pytest.mark.full

ENTRIES = int(os.environ.get("TMM_BENCHMARK_ENTRIES", "1000000"))
PAGE_MS = 10.0
PAGES = 120


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of an installation whose database has its tables."""
    url, home = "", tmp_path_factory.mktemp("long")
    if request.param == "postgres" and (kept := os.environ.get("TMM_BENCHMARK_DATABASE_URL", "")):
        url = kept
    elif request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        import psycopg

        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE long_log")
        url = server.url.replace("/postgres?", "/long_log?")
    elif kept := os.environ.get("TMM_BENCHMARK_HOME"):
        home = Path(kept)
    settings = Settings(home=home, database_url=url, backends="cuda")
    create_tables(settings)
    return settings


@pytest.fixture(scope="module")
def service(settings: Settings) -> Iterator[Services]:
    """A catalogue with a long log, whose views are up to date."""
    with Services(settings, TRAINERS) as service:
        if not service.log.views_behind() and not service.auditing.entries():
            write(settings, ENTRIES)
        behind, began = service.log.views_behind(), time.perf_counter()
        head = service.log.catch_up()
        seconds = time.perf_counter() - began
        kind = "postgres" if settings.database_url else "sqlite"
        print(f"\n{kind}: {head.position} entries, {behind} of them projected in {seconds:.0f} s")
        if settings.database_url and behind:
            import psycopg

            with psycopg.connect(settings.database_url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
        yield service


def queries(entries: int) -> Iterator[tuple[str, Callable[[random.Random], AuditQuery]]]:
    def after(chance: random.Random) -> int:
        return chance.randrange(entries)

    def range_(chance: random.Random, **length: float) -> dict[str, Any]:
        since = BEGAN + timedelta(days=chance.uniform(0, 530))
        return {"since": since, "until": since + timedelta(**length)}

    one = {
        "actor": lambda c: {"actor": c.choice(ACTORS)},
        "action": lambda c: {"action": c.choice(["start", "modify", "fail", "delete"])},
        "method": lambda c: {"method": c.choice(METHODS)},
        "outcome": lambda c: {"outcome": c.choice(["done", "refused"])},
        "origin": lambda c: {"origin": c.choice(["flow", "python", "command line"])},
        "licence": lambda c: {"licence": f"L-{c.randrange(9)}"},
        "a day": lambda c: range_(c, days=1),
        "a rare word": lambda c: {"text": c.choice(ACTORS[40:])},
        "a common word": lambda c: {"text": c.choice(["started", "completed", "licence", "version"])},
        "words": lambda c: {"text": f"{c.choice(ACTORS)} modified"},
        "actor and action": lambda c: {"actor": c.choice(ACTORS), "action": "fail"},
        "actor and method": lambda c: {"actor": c.choice(ACTORS), "method": c.choice(METHODS)},
        "method and refusals": lambda c: {"method": c.choice(METHODS), "outcome": "refused"},
        "word and licence": lambda c: {"text": "modified", "licence": f"L-{c.randrange(9)}"},
        "actor in a week": lambda c: {"actor": c.choice(ACTORS), **range_(c, days=7)},
        "everything at once": lambda c: {
            "actor": c.choice(ACTORS),
            "method": c.choice(METHODS),
            "action": "start",
            "outcome": "done",
            "origin": "flow",
            "text": "started",
            **range_(c, days=200),
        },
        "nothing in particular": lambda c: {},
        "what never was": lambda c: {"actor": "nobody", "method": c.choice(METHODS)},
    }
    for name, conditions in one.items():
        for newest in (False, True):
            yield (
                f"{name}, {'newest' if newest else 'oldest'} first",
                lambda c, conditions=conditions, newest=newest: AuditQuery(
                    **conditions(c), newest_first=newest, after=c.choice([None, after(c)]), limit=50
                ),
            )


class Times(NamedTuple):
    """Milliseconds after a warm-up, by the clock, and of the processors: the best of each query's three times."""

    median: float
    p99: float
    busy_median: float
    busy_p99: float

    def __str__(self) -> str:
        missed = f"   over {PAGE_MS:g} ms" if self.p99 > PAGE_MS else ""
        return (
            f"median {self.median:6.2f} ms   p99 {self.p99:6.2f} ms   "
            f"of the processors: median {self.busy_median:6.2f} ms   p99 {self.busy_p99:6.2f} ms{missed}"
        )


def timed(service: Services, work: Callable[[random.Random], object]) -> Times:
    chance, times, busy, busy_ns = random.Random(3), [], [], _busy(service)
    gc.collect()
    gc.freeze()  # or what the test runner has in memory is looked through while a query runs
    for number in range(PAGES + 10):
        state, took = chance.getstate(), []
        for _ in range(3):
            chance.setstate(state)
            began, began_busy = time.perf_counter(), busy_ns()
            work(chance)
            took.append(((time.perf_counter() - began) * 1e3, (busy_ns() - began_busy) / 1e6))
        if number >= 10:
            times += [clock for clock, _ in took]
            busy.append(min(own for _, own in took))
    return Times(*(figure for each in (times, busy) for figure in (statistics.median(each), _p99(each))))


def _p99(each: list[float]) -> float:
    return statistics.quantiles(each, n=100)[98]


def _busy(service: Services) -> Callable[[], int]:
    """Tells the nanoseconds that this thread, and the database's process behind its connection, had of a processor."""
    views: Any = service.log.views
    if not views.prefix:
        return time.thread_time_ns
    (row,) = views._select("SELECT pg_backend_pid() AS pid")
    told = Path(f"/proc/{row['pid']}/schedstat")  # only Linux has it
    return lambda: time.thread_time_ns() + int(told.read_text().split()[0])


def test_no_page_walks_the_log(service: Services) -> None:
    walking = {}
    for name, make in queries(ENTRIES):
        print(f"{name:42} {timed(service, lambda chance, make=make: service.auditing.page(make(chance)))}")
        if walks := plans_that_walk(service, lambda make=make: service.auditing.page(make(random.Random(3)))):
            walking[name] = walks
    assert walking == {}


def plans_that_walk(service: Services, work: Callable[[], object]) -> list[str]:
    """The steps of the database's plans for this work that go through all entries."""
    views: Any = service.log.views
    asked: list[tuple[str, Any]] = []
    select, read = views._select, views._read
    views._select = lambda statement, values=None: asked.append((statement, values)) or select(statement, values)
    views._read = lambda statement, values=None: asked.append((statement, values)) or read(statement, values)
    try:
        work()
    finally:
        del views._select, views._read
    explain = "EXPLAIN" if views.prefix else "EXPLAIN QUERY PLAN"
    steps = [
        str(step)
        for statement, values in asked
        for row in select(f"{explain} {statement}", values)
        for step in row.values()
    ]
    return [step for step in steps if re.search(r"(Seq Scan on|SCAN) audit_(log|index)", step)]


def test_neither_a_run_nor_a_count_nor_a_day_long_ago_walks_the_log(service: Services) -> None:
    views = service.log.views
    runs: list[UUID] = [entry.run_id for entry in _some(service) if entry.run_id is not None]

    def of(days: float) -> Callable[[random.Random], AuditQuery]:
        def query(chance: random.Random) -> AuditQuery:
            since = BEGAN + timedelta(days=chance.uniform(0, 540 - days))
            return AuditQuery(since=since, until=since + timedelta(days=days))

        return query

    day, month, year = of(1), of(30), of(365)
    work: dict[str, Callable[[random.Random], object]] = {
        "a run": lambda c: views.audit_page(AuditQuery(run=c.choice(runs))),
        "what was selectable": lambda c: views.selectable_methods_at(
            views.position_at(BEGAN + timedelta(days=c.uniform(0, 540)))
        ),
        "counts by action of an actor": lambda c: views.audit_counts(
            CountBy.ACTION, AuditQuery(actor=c.choice(ACTORS))
        ),
        "counts by licence of a day": lambda c: views.audit_counts(CountBy.LICENCE, day(c)),
        "counts by method of a day": lambda c: views.audit_counts(CountBy.METHOD, day(c)),
        "counts by action of a month": lambda c: views.audit_counts(CountBy.ACTION, month(c)),
        "counts by method of a month": lambda c: views.audit_counts(CountBy.METHOD, month(c)),
        "counts by actor": lambda c: views.audit_counts(CountBy.ACTOR, AuditQuery()),
        "counts by method of refusals": lambda c: views.audit_counts(CountBy.METHOD, AuditQuery(outcome="refused")),
        "counts by action of a word": lambda c: views.audit_counts(CountBy.ACTION, AuditQuery(text=c.choice(ACTORS))),
        "counts by actor of a year": lambda c: views.audit_counts(CountBy.ACTOR, year(c)),
        "counts by day of refusals": lambda c: views.audit_counts(CountBy.DAY, AuditQuery(outcome="refused")),
    }
    walking = {}
    for name, one in work.items():
        print(f"{name:42} {timed(service, one)}")
        if walks := plans_that_walk(service, lambda one=one: one(random.Random(3))):
            walking[name] = walks
    assert walking == {}


def _some(service: Services) -> list[AuditEntry]:
    return service.auditing.entries(AuditQuery(action="complete", limit=200))


def test_a_long_log_verifies(service: Services, settings: Settings) -> None:
    began, began_busy = time.perf_counter(), time.process_time()
    verified = service.verification.verify(views_too=False)
    seconds, busy = time.perf_counter() - began, time.process_time() - began_busy
    print(f"verified {verified.entries} entries in {seconds:.1f} s, {busy:.1f} s of this process")
    for views_too, words in ((False, "the same"), (True, "and every column of every view")):
        began = time.perf_counter()
        in_two = service.verification.verify(views_too=views_too, beside=VerifyingBeside(settings))
        print(f"{words} in two processes in {time.perf_counter() - began:.1f} s")
        assert in_two.findings == ()
    assert verified.findings == ()
