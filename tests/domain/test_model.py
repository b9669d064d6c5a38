"""After any sequence of commands by any users, the catalogue is what a plain dictionary says, and so it is after a
rebuild of the views, and when it is opened anew."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from adapters.store.tables import create_tables
from domain.audit.read_models import AuditQuery
from domain.catalogue.method_spec import MethodSpec
from domain.catalogue.preinstalled import PREINSTALLED
from domain.errors import (
    CommercialUsersOnly,
    MethodAlreadyExists,
    MethodNotFound,
    MethodNotSelectable,
    Refused,
    RunAlreadyFinished,
)
from domain.people.users import User
from domain.runs.training_run import RunStatus
from infra.settings import Settings
from tests.support.people import ALICE, BOB, CARLA, PROVENANCE, TRAINERS, method, request
from tests.support.services import Services

CUSTOM01 = next(spec for spec in PREINSTALLED if spec.internal_name == "custom01")
ALL = AuditQuery(limit=1000)
NAMES = ["sft-one", "sft-two", "custom01"]
users = st.sampled_from([ALICE, BOB, CARLA])
names = st.sampled_from(NAMES)
words = st.sampled_from(["first", "second", "third"])


class Catalogue(RuleBasedStateMachine):
    """Every rule says what must come of a command by the dictionary `methods` alone."""

    runs = Bundle("runs")

    def __init__(self, make_settings: Callable[[], Settings]) -> None:
        super().__init__()
        self.settings = make_settings()
        self.services = Services(self.settings, TRAINERS)
        self.methods: dict[str, tuple[MethodSpec, int]] = {}
        self.ever: dict[str, int] = {}
        self.run_status: dict[UUID, tuple[str, RunStatus]] = {}
        self.interrupted: set[UUID] = set()
        self.entries = 0

    def teardown(self) -> None:
        self.services.log.close()

    def remember(self, spec: MethodSpec) -> None:
        name = spec.internal_name
        self.ever[name] = self.ever.get(name, 0) + 1
        self.methods[name] = (spec, self.ever[name])
        self.entries += 1

    def expect(self, error: type[Exception], command: Callable[[], Any]) -> None:
        with pytest.raises(error):
            command()
        if issubclass(error, Refused):
            self.entries += 1

    @rule(name=names, by=users, word=words)
    def add(self, name: str, by: User, word: str) -> None:
        spec = method(name, description=word)
        if not by.is_commercial:
            self.expect(CommercialUsersOnly, lambda: self.services.catalogue.add(spec, by=by))
        elif name in self.methods:
            self.expect(MethodAlreadyExists, lambda: self.services.catalogue.add(spec, by=by))
        else:
            self.services.catalogue.add(spec, by=by)
            self.remember(spec)

    @rule()
    def preinstall(self) -> None:
        installed = self.services.catalogue.preinstall((CUSTOM01,))
        assert installed == ([] if "custom01" in self.ever else ["custom01"])
        if installed:
            self.remember(CUSTOM01)

    @rule(name=names, by=users, word=words)
    def modify(self, name: str, by: User, word: str) -> None:
        def command() -> object:
            return self.services.catalogue.modify(name, {"description": word}, by=by)

        if name not in self.ever:
            self.expect(MethodNotFound, command)
        elif not by.is_commercial and name != "custom01":
            self.expect(CommercialUsersOnly, command)
        elif name not in self.methods:
            self.expect(MethodNotSelectable, command)
        else:
            command()
            spec = self.methods[name][0]
            if spec.description != word:
                self.remember(spec.with_changes({"description": word}))

    @rule(name=names, by=users)
    def delete(self, name: str, by: User) -> None:
        def command() -> object:
            return self.services.catalogue.delete(name, by=by)

        if name not in self.ever:
            self.expect(MethodNotFound, command)
        elif not by.is_commercial:
            self.expect(CommercialUsersOnly, command)
        elif name not in self.methods:
            self.expect(MethodNotSelectable, command)
        else:
            command()
            del self.methods[name]
            self.ever[name] += 1
            self.entries += 1
            for run_id, (of, status) in self.run_status.items():
                if of == name and status is RunStatus.REQUESTED:
                    self.run_status[run_id] = (of, RunStatus.CANCELLED)
                    self.entries += 1

    @rule(target=runs, name=names, by=users)
    def ask(self, name: str, by: User) -> UUID:
        run_id = uuid4()
        error = None if name in self.methods else MethodNotSelectable if name in self.ever else MethodNotFound
        if error is None:
            self.services.trainings.request(run_id, request(name), by=by)
            self.run_status[run_id] = (name, RunStatus.REQUESTED)
            self.entries += 1
        else:
            self.expect(error, lambda: self.services.trainings.request(run_id, request(name), by=by))
        return run_id

    @rule(run_id=runs)
    def start(self, run_id: UUID) -> None:
        name, status = self.run_status.get(run_id, ("", None))
        if status is RunStatus.REQUESTED:
            assert self.services.trainings.start(run_id, PROVENANCE)
            self.run_status[run_id] = (name, RunStatus.RUNNING)
            self.entries += 1

    @rule(run_id=runs, interrupted=st.booleans())
    def fail(self, run_id: UUID, interrupted: bool) -> None:
        name, status = self.run_status.get(run_id, ("", None))
        if status in (RunStatus.REQUESTED, RunStatus.RUNNING):
            self.services.trainings.fail(run_id, "why", interrupted=interrupted)
            self.run_status[run_id] = (name, RunStatus.FAILED)
            if interrupted:
                self.interrupted.add(run_id)
            self.entries += 1

    @rule(run_id=runs)
    def cancel(self, run_id: UUID) -> None:
        name, status = self.run_status.get(run_id, ("", None))
        if status in (RunStatus.REQUESTED, RunStatus.RUNNING) or run_id in self.interrupted:
            self.services.trainings.cancel(run_id, "why", by=ALICE)
            self.run_status[run_id] = (name, RunStatus.CANCELLED)
            self.interrupted.discard(run_id)
            self.entries += 1
        elif status is not None:
            self.expect(RunAlreadyFinished, lambda: self.services.trainings.cancel(run_id, "why", by=ALICE))

    @rule()
    def rebuild(self) -> None:
        before = self.everything()
        rebuilt = self.services.operating.rebuild_views(by=ALICE)
        self.entries += 1
        assert rebuilt.agreed
        methods, runs, entries = self.everything()
        assert (methods, runs, entries[:-1]) == before

    @rule()
    def open_anew(self) -> None:
        before = self.everything()
        self.services.log.close()
        self.services = Services(self.settings, TRAINERS)
        assert self.everything() == before

    def everything(self) -> Any:
        return (
            self.services.catalogue.selectable(),
            self.services.trainings.all(),
            self.services.auditing.entries(AuditQuery(limit=1000)),
        )

    @invariant()
    def the_catalogue_is_what_the_dictionary_says(self) -> None:
        listed = {
            found.spec.internal_name: (found.spec, found.version) for found in self.services.catalogue.selectable()
        }
        assert listed == self.methods
        assert {
            run.run_id: (run.request.method, run.status) for run in self.services.trainings.all()
        } == self.run_status
        assert [entry.position for entry in self.services.auditing.entries(ALL)] == list(range(1, self.entries + 1))


def test_the_catalogue_is_what_a_plain_dictionary_says(tmp_path, database: str) -> None:
    def make_settings() -> Settings:
        if database:
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute("DROP SCHEMA IF EXISTS tmm CASCADE")
        made = Settings(home=tmp_path / uuid4().hex, database_url=database, backends="cuda")
        create_tables(made)
        return made

    run_state_machine_as_test(
        lambda: Catalogue(make_settings),
        settings=settings(
            max_examples=settings.default.max_examples // (8 if database else 5),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
