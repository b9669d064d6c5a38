"""Every kind of tampering is found, and its first place named, on both databases."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from adapters.proof.checkpoint_files import CheckpointFolder
from adapters.proof.signing import FolderSigner
from adapters.store.tables import create_tables
from domain.audit.proving import verified_log
from domain.audit.proving.proof import canonical
from domain.audit.proving.verification import Compared, Finding, Followed, bounded
from domain.audit.proving.verified_log import VerifiedLog
from domain.audit.read_models import AuditQuery, Head
from infra.settings import Settings
from infra.wiring import Installation
from tests.support.people import ALICE, PROVENANCE, method, request


class Intruder:
    """Somebody who may do everything to the database, and to nothing else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.on_postgres = bool(settings.database_url)
        self.number = "notification_id" if self.on_postgres else "rowid"

    def run(self, *statements: str) -> None:
        if self.on_postgres:
            with psycopg.connect(self._settings.database_url) as connection:
                connection.execute("ALTER TABLE tmm.stored_events DISABLE TRIGGER USER")
                connection.execute("SET search_path TO tmm")
                for statement in statements:
                    connection.execute(statement)
                connection.execute("ALTER TABLE tmm.stored_events ENABLE TRIGGER USER")
        else:
            with closing(sqlite3.connect(self._settings.sqlite_file)) as connection, connection:
                triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
                for (trigger,) in triggers:
                    connection.execute(f"DROP TRIGGER {trigger}")
                for statement in statements:
                    connection.execute(statement)

    def event(self, position: int) -> str:
        """A condition that one event alone fulfils."""
        return f"{self.number} = (SELECT notification_id FROM audit_log WHERE position = {position})"


@pytest.fixture
def site(settings: Settings) -> Iterator[Installation]:
    """An installation whose log has nine entries and two checkpoints: after the fifth, and after the eighth."""
    with Installation(settings) as site:
        create_tables(site.settings)
        service = site
        run_id = uuid4()
        service.catalogue.add(method("sft-one"), by=ALICE)
        service.catalogue.add(method("sft-two"), by=ALICE)
        service.catalogue.modify("sft-one", {"description": "new"}, by=ALICE)
        service.trainings.request(run_id, request("sft-one"), by=ALICE)
        service.trainings.start(run_id, PROVENANCE)
        site.proof.make_checkpoint(by=ALICE)
        service.catalogue.delete("sft-two", by=ALICE)
        service.trainings.fail(run_id, "why")
        site.proof.make_checkpoint(by=ALICE)
        assert [entry.action for entry in service.auditing.entries()][5::3] == ["checkpoint", "checkpoint"]
        yield site


@pytest.fixture
def intruder(site: Installation) -> Intruder:
    return Intruder(site.settings)


class InThisProcess:
    """What another process would verify, verified at once."""

    def __init__(self, site: Installation) -> None:
        self._log = VerifiedLog(site.log)

    def follow(self, since: Head, until: Head, wanted: Sequence[int]) -> Callable[[], Followed]:
        followed = self._log.follow(since, until, wanted)
        return lambda: followed

    def compare(self, first: int, last: int) -> Callable[[], Compared]:
        compared = self._log.compare_entries(first, last)
        return lambda: compared


def found(site: Installation) -> list[Finding]:
    """What is found, in one go and in parts that are shared as those of a long log are."""
    alone = site.proof.verify().findings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verified_log, "WORTH_A_PROCESS", 1)
        patch.setattr(site.proof, "_beside", InThisProcess(site))
        assert site.proof.verify().findings == alone
    return list(alone)


def test_a_log_that_nobody_touched_is_true(site: Installation) -> None:
    verified = site.proof.verify()
    assert (verified.entries, verified.checkpoints, verified.findings) == (9, 2, ())
    assert verified.hash == site.auditing.entries()[-1].hash


def test_a_changed_byte_is_found(site: Installation, intruder: Intruder) -> None:
    state = "convert_from(state, 'UTF8')" if intruder.on_postgres else "CAST(state AS TEXT)"
    back = "convert_to({}, 'UTF8')" if intruder.on_postgres else "CAST({} AS BLOB)"
    changed = back.format(f"replace({state}, 'alice', 'alicf')")
    intruder.run(f"UPDATE stored_events SET state = {changed} WHERE {intruder.event(3)}")
    assert [(f.position, "was changed" in f.words) for f in found(site)] == [(3, True)]


def test_a_changed_moment_of_recording_is_found(site: Installation, intruder: Intruder) -> None:
    earlier = "recorded_at - interval '1 day'" if intruder.on_postgres else "'2020' || substr(recorded_at, 5)"
    intruder.run(f"UPDATE stored_events SET recorded_at = {earlier} WHERE {intruder.event(4)}")
    assert [(f.position, "was changed" in f.words) for f in found(site)] == [(4, True)]


def test_a_removed_entry_is_found(site: Installation, intruder: Intruder) -> None:
    intruder.run(f"DELETE FROM stored_events WHERE {intruder.event(4)}")
    assert [(f.position, f.words[:15]) for f in found(site)] == [(4, "entry 4 is gone")]


def test_several_removed_entries_are_found(site: Installation, intruder: Intruder) -> None:
    intruder.run(*(f"DELETE FROM stored_events WHERE {intruder.event(position)}" for position in (2, 3)))
    assert [(f.position, f.words[:23]) for f in found(site)] == [(2, "entries 2 to 3 are gone")]


@pytest.mark.parametrize("topic", ["'views.rebuilt'", "topic"], ids=["inserted", "duplicated"])
def test_an_entry_that_was_put_in_is_found(site: Installation, intruder: Intruder, topic: str) -> None:
    stream = f"'{uuid4()}'" if intruder.on_postgres else f"'{uuid4().hex}'"
    columns = f"({intruder.number}, originator_id, originator_version, topic, state, recorded_at)"
    last_first = "SELECT notification_id FROM audit_log WHERE position > 4 ORDER BY position DESC"
    make_room = (
        [f"UPDATE stored_events SET {intruder.number} = {intruder.number} + 100 WHERE NOT ({_up_to(intruder, 4)})"]
        if last_first
        else []
    )
    intruder.run(
        *make_room,
        f"INSERT INTO stored_events {columns} SELECT {intruder.number} + 1, {stream}, 1, {topic}, state, recorded_at "
        f"FROM stored_events WHERE {intruder.event(4)}",
        "UPDATE views_head SET notification_id = notification_id + 100",
    )
    assert [(f.position, "was put in before entry 5" in f.words) for f in found(site)] == [(5, True)]


def _up_to(intruder: Intruder, position: int) -> str:
    return intruder.event(position).replace(" = ", " <= ", 1)


def test_an_entry_that_is_gone_from_the_log_and_from_the_views_leaves_a_gap(
    site: Installation, intruder: Intruder
) -> None:
    intruder.run(*(f"DELETE FROM stored_events WHERE {intruder.event(position)}" for position in (3, 7)))
    intruder.run("DROP TABLE views_form")
    create_tables(site.settings)  # makes the views anew
    site.log.catch_up()
    gaps = [(f.position, f.words[:36]) for f in found(site) if "missing" in f.words]
    assert gaps == [(3, "the number 3 is missing before this "), (6, "the number 7 is missing before this ")]


def test_what_stands_behind_a_jump_is_verified_too(site: Installation, intruder: Intruder) -> None:
    jump = [f"UPDATE stored_events SET {intruder.number} = {intruder.number} + 100 WHERE NOT ({_up_to(intruder, 4)})"]
    if intruder.on_postgres:
        jump.append("UPDATE log_head SET number = number + 100")
    intruder.run(*jump, "DROP TABLE views_form")
    create_tables(site.settings)
    site.catalogue.add(method("sft-three"), by=ALICE)
    assert [(f.position, f.words[:32]) for f in found(site)] == [(5, "the numbers 5 to 104 are missing")]
    intruder.run("UPDATE audit_log SET actor = 'mallory' WHERE position = 10")
    assert [f.position for f in found(site)] == [5, 10]


def test_an_end_that_is_gone_from_the_log_and_from_the_views_is_found(site: Installation, intruder: Intruder) -> None:
    intruder.run(f"DELETE FROM stored_events WHERE NOT ({_up_to(intruder, 8)})", "DROP TABLE views_form")
    create_tables(site.settings)
    site.log.catch_up()
    # The file keeps no number beside its events: there, only a signed checkpoint misses what was the end.
    words = ["the log ends with the number 8 and had come to 9: its end is gone"] if intruder.on_postgres else []
    assert [f.words for f in found(site)] == words


def test_time_that_goes_back_without_an_accepted_clock_is_found(site: Installation, intruder: Intruder) -> None:
    earlier = "recorded_at - interval '1 day'" if intruder.on_postgres else "'2020' || substr(recorded_at, 5)"
    intruder.run(f"UPDATE stored_events SET recorded_at = {earlier} WHERE {intruder.event(9)}", "DROP TABLE views_form")
    create_tables(site.settings)
    site.log.catch_up()
    assert [(f.position, f.words[:19]) for f in found(site)] == [(9, "time goes back from")]


def test_of_many_findings_of_one_kind_the_first_are_told_and_the_others_counted() -> None:
    many = [Finding(position=position, words="gone") for position in range(1, 100)]
    told = bounded(many)
    assert (len(told), told[-1].position, told[-1].words) == (21, 21, "from here on, 79 more like these")
    assert bounded(many[:20]) == tuple(many[:20])


def test_reordered_entries_are_found(site: Installation, intruder: Intruder) -> None:
    number = intruder.number
    intruder.run(
        f"UPDATE stored_events SET {number} = -1 WHERE {intruder.event(3)}",
        f"UPDATE stored_events SET {number} = {number} - 1 WHERE {intruder.event(4)}",
        f"UPDATE stored_events SET {number} = (SELECT notification_id FROM audit_log WHERE position = 4) "
        f"WHERE {number} = -1",
    )
    assert [(f.position, f.words) for f in found(site)] == [(3, "entries 3 and 4 have changed places")]


def test_a_truncated_log_is_found(site: Installation, intruder: Intruder) -> None:
    intruder.run(f"DELETE FROM stored_events WHERE NOT ({_up_to(intruder, 7)})")
    assert [(f.position, "the log ends after entry 7" in f.words) for f in found(site)] == [(8, True)]


def test_a_truncated_log_whose_views_were_truncated_too_is_found(site: Installation, intruder: Intruder) -> None:
    intruder.run(f"DELETE FROM stored_events WHERE NOT ({_up_to(intruder, 6)})")
    site.operating.rebuild_views(by=ALICE)
    assert (8, True) in [(f.position, "its end is gone" in f.words) for f in found(site)]


def test_a_chain_that_was_rewritten_as_a_whole_is_found(site: Installation, intruder: Intruder) -> None:
    state = "convert_from(state, 'UTF8')" if intruder.on_postgres else "CAST(state AS TEXT)"
    back = "convert_to({}, 'UTF8')" if intruder.on_postgres else "CAST({} AS BLOB)"
    changed = back.format(f"replace({state}, 'alice', 'mallory')")
    intruder.run(f"UPDATE stored_events SET state = {changed} WHERE {intruder.event(7)}")
    assert not site.operating.rebuild_views(by=ALICE).agreed
    (finding,) = found(site)
    assert (finding.position, "up to entry 5 they are as they were signed" in finding.words) == (6, True)


def test_a_view_that_disagrees_with_the_log_is_found(site: Installation, intruder: Intruder) -> None:
    intruder.run("UPDATE audit_log SET actor = 'mallory' WHERE position = 2")
    assert [(f.position, "about actor" in f.words) for f in found(site)] == [(2, True)]


def test_a_view_with_another_hash_is_found(site: Installation, intruder: Intruder) -> None:
    intruder.run(f"UPDATE audit_log SET hash = '{'0' * 64}' WHERE position = 4")
    assert [(f.position, "another hash" in f.words) for f in found(site)] == [(4, True)]


def test_a_row_that_is_gone_from_the_audit_log_is_found(site: Installation, intruder: Intruder) -> None:
    intruder.run("DELETE FROM audit_log WHERE position = 4")
    assert [(f.position, "lacks entry 4" in f.words) for f in found(site)] == [(4, True)]


@pytest.mark.parametrize(
    ("change", "position", "words"),
    [
        ("UPDATE selectable_methods SET version = 9 WHERE internal_name = 'sft-one'", 3, "selectable_methods"),
        ("DELETE FROM selectable_methods WHERE internal_name = 'sft-one'", 3, "selectable_methods lacks"),
        ("UPDATE training_runs SET status = 'completed'", 8, "training_runs disagrees with the log about status"),
        ("UPDATE method_versions SET until = NULL WHERE internal_name = 'sft-two'", 7, "method_versions"),
        ("UPDATE audit_counts SET entries = 7 WHERE action = 'start'", 0, "audit_counts"),
        ("DELETE FROM audit_index WHERE fact = 'action' AND value = 'delete'", 7, "audit_index"),
        ("UPDATE audit_index SET entries = 0 WHERE fact = 'action' AND value = 'delete'", 7, "audit_index"),
    ],
)
def test_any_view_that_disagrees_with_the_log_is_found(
    site: Installation, intruder: Intruder, change: str, position: int, words: str
) -> None:
    intruder.run(change)
    assert [(f.position, words in f.words) for f in found(site)] == [(position, True)]


@pytest.mark.processes
@pytest.mark.parametrize("position", [2, 6])
def test_two_processes_that_share_a_long_log_find_the_same(
    site: Installation, intruder: Intruder, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    monkeypatch.setattr(verified_log, "WORTH_A_PROCESS", 1)
    if position == 6:
        assert found(site) == []
    intruder.run(f"UPDATE audit_log SET actor = 'mallory' WHERE position = {position}")
    assert [(f.position, "about actor" in f.words) for f in found(site)] == [(position, True)]


def checkpoint_file(site: Installation, number: int) -> Path:
    return site.settings.checkpoints / f"checkpoint-{number:08}.json"


def with_another_position(site: Installation) -> None:
    document = json.loads(checkpoint_file(site, 1).read_text()) | {"position": 4, "count": 4}
    checkpoint_file(site, 1).write_bytes(canonical(document))


def signed_by_another_key(site: Installation) -> None:
    (first, *_) = CheckpointFolder(site.settings.checkpoints).all()
    other = FolderSigner(site.settings.home / "mallory")
    forged = first.model_copy(update={"made_at": first.made_at + timedelta(days=1), "key_id": other.key_id})
    forged = forged.model_copy(update={"signature": other.sign(forged.message())})
    checkpoint_file(site, 1).write_bytes(canonical(forged.model_dump(mode="json")))


def in_each_others_place(site: Installation) -> None:
    one, two = checkpoint_file(site, 1), checkpoint_file(site, 2)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def without_the_first(site: Installation) -> None:
    checkpoint_file(site, 1).unlink()


def without_the_last(site: Installation) -> None:
    checkpoint_file(site, 2).unlink()


@pytest.mark.parametrize(
    ("forge", "position", "words"),
    [
        (with_another_position, 4, "checkpoint 1 is forged"),
        (signed_by_another_key, 5, "checkpoint 1 is forged"),
        (in_each_others_place, 8, "checkpoint 2 does not follow"),
        (without_the_first, 8, "checkpoint 2 does not follow"),
        (without_the_last, 8, "the checkpoint of entry 8 is gone"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_forged_and_reordered_checkpoints_are_found(
    site: Installation, forge: Callable[[Installation], None], position: int, words: str
) -> None:
    forge(site)
    assert (position, True) in [(f.position, words in f.words) for f in found(site)]


def test_a_rebuild_gives_identical_views(site: Installation) -> None:
    views = site.log.views
    tables = ("selectable_methods", "method_versions", "training_runs", "audit_log", "audit_counts", "audit_index")
    before = {table: list(views.rows(table)) for table in tables}
    views.clear()
    assert all(not list(views.rows(table)) for table in tables)
    site.log.catch_up()
    assert {table: list(views.rows(table)) for table in tables} == before


def test_what_is_appended_while_a_log_is_verified_is_no_difference(
    site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = site.log.views.head()
    site.catalogue.add(method("sft-three"), by=ALICE)
    monkeypatch.setattr(site.log.views, "head", lambda: end)
    assert VerifiedLog(site.log).verify(views_too=False).findings == ()


def test_what_is_appended_while_the_views_are_compared_is_no_difference(
    site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = VerifiedLog(site.log)
    compare = log.compare_entries

    def and_somebody_adds_a_method(first: int, last: int) -> Compared:
        if last == 9:
            site.catalogue.add(method("sft-three"), by=ALICE)
        return compare(first, last)

    monkeypatch.setattr(log, "compare_entries", and_somebody_adds_a_method)
    verified = log.verify()
    assert (verified.entries, verified.findings) == (10, ())


def test_nothing_new_is_no_new_checkpoint(site: Installation) -> None:
    entries = len(site.auditing.entries(AuditQuery()))
    checkpoint, _ = site.proof.make_checkpoint(by=ALICE)
    assert checkpoint.number == 2
    assert len(site.auditing.entries(AuditQuery())) == entries
