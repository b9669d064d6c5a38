"""Who may read the SQLite file and not write it asks the audit log all the same, and is told how current it is."""

import io
import os
import pickle
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from adapters.cli import run
from domain.catalogue.training_method import TrainingMethod
from infra.service import Service
from infra.settings import Settings
from tests.support.people import ALICE, method

NOBODY = 65534


class Answer(NamedTuple):
    code: int
    out: str
    err: str


def tmm(settings: Settings, *args: str) -> Answer:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = run(lambda: Service(settings), args)
    return Answer(code, out.getvalue(), err.getvalue())


def as_somebody_else(work: Callable[[], Answer]) -> Answer:
    """What this comes to in a process of a user who owns nothing here (root would be stopped by no permission)."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        with open(writing, "wb") as pipe:
            pipe.write(pickle.dumps(work()))
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    answer: Answer = pickle.loads(said)
    return answer


@pytest.fixture
def site() -> Iterator[Settings]:
    """An installation whose file and folder everybody may read, and nobody else may write."""
    home = Path(tempfile.mkdtemp(prefix="tmm-read-only-"))
    settings = Settings(home=home, backends="cuda")
    with Service(settings) as installation:
        installation.migrate()
        installation.catalogue.add(method(), by=ALICE)
    for command in (["list"], ["audit"], ["audit", "verify"]):
        tmm(settings, *command)  # loads every module: the interpreter's own files may be out of another user's reach
    settings.sqlite_file.chmod(0o444 if os.getuid() else 0o644)
    home.chmod(0o555 if os.getuid() else 0o755)
    yield settings
    home.chmod(0o755)
    shutil.rmtree(home)


def test_an_auditor_who_may_not_write_reads_the_views_as_they_stand(site: Settings) -> None:
    answer = as_somebody_else(lambda: tmm(site, "audit", "--action", "add"))
    assert answer.code == 0, answer.err
    assert "alice added SFT Support (sft) under licence L-17" in answer.out
    assert answer.err.startswith("These are the entries up to 5, recorded 20")
    assert as_somebody_else(lambda: tmm(site, "list")).out.count("SFT Support") == 1
    assert as_somebody_else(lambda: tmm(site, "audit", "verify")).code == 0


@pytest.mark.skipif(os.getuid() != 0, reason="the writer must be another user than the reader")
def test_an_auditor_sees_what_a_writer_at_work_has_projected_and_no_more(site: Settings) -> None:
    with Service(site) as writer:
        writer.log.save(TrainingMethod.add(method("sft-late"), by=ALICE, command_id=uuid4()))  # not projected yet
        answer = as_somebody_else(lambda: tmm(site.model_copy(), "audit", "--method", "sft-late"))
        assert (answer.code, answer.out) == (0, "")
        assert "These are the entries up to 5, recorded" in answer.err
        writer.log.catch_up()
        answer = as_somebody_else(lambda: tmm(site, "audit", "--method", "sft-late"))
        assert "alice added" in answer.out
        assert "These are the entries up to 6, recorded" in answer.err


def test_who_may_not_write_changes_nothing(site: Settings) -> None:
    answer = as_somebody_else(lambda: tmm(site, "modify", "custom01", "--description", "mine"))
    assert answer.code == 5
    assert "may not be written by this user" in answer.err


def test_who_may_not_write_cannot_bring_old_tables_up_to_date_and_is_told_who_can(site: Settings) -> None:
    with closing(sqlite3.connect(site.sqlite_file)) as database, database:
        database.execute("UPDATE views_form SET form = 'an older one'")
    answer = as_somebody_else(lambda: tmm(site, "audit"))
    assert answer.code == 5
    assert "Let somebody who may run: tmm migrate" in answer.err
