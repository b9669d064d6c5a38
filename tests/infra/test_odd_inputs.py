"""One input never stops the installation: whatever is given is accepted or refused, and afterwards everything works."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from adapters.cli import run as run_command
from domain.audit.proving.verified_log import VerifiedLog
from domain.audit.read_models import AuditQuery, CountBy
from domain.catalogue.method_spec import MethodSpec
from domain.errors import CommercialUsersOnly, TrainingMethodError
from domain.people.users import User
from domain.runs.training_run import Provenance, RunRequest
from infra.acting_for import acting, issue_token
from infra.service import Service
from infra.settings import Settings
from tests.odd_values import ARGUMENTS, NUMBERS, TEXTS, VALUES
from tests.support.people import ALICE, BOB, PROVENANCE, method

TRIES = [pytest.param(30, id="some"), pytest.param(400, id="many", marks=pytest.mark.full)]
LOOKS_EVERY = 25
METHOD = method("odd-one").model_dump(mode="json")
REQUEST = {"method": "sft-demo", "backend": "cuda", "base_model": "small-base", "dataset": "sft-demo", "options": {}}
REFUSAL = CommercialUsersOnly(user="bob", to="try it", because="no licence is installed")
USERS = st.sampled_from([ALICE, BOB])
NAMES = st.sampled_from(["sft-demo", "custom01", "odd-one"]) | VALUES


@dataclass
class Site:
    """An installation to be tried, with the key of a program that it trusts."""

    installation: Service
    key: Path
    tries: int = 0

    def accepts_or_refuses(self, act: Callable[[], object]) -> None:
        """Do it; any error but one of ours is a fault, and so is one after which the catalogue cannot be read."""
        self.tries += 1
        with suppress(TrainingMethodError):
            act()
        assert self.installation.catalogue.selectable()
        if self.tries % LOOKS_EVERY == 0:
            self.looks_well()

    def looks_well(self) -> None:
        service = self.installation
        service.trainings.all()
        service.auditing.entries(AuditQuery(newest_first=True, limit=1000))
        assert service.auditing.entries(AuditQuery(action="unreadable")) == []
        assert VerifiedLog(service.log).verify().findings == ()

    def tried(self, tries: int, ways: st.SearchStrategy[Callable[[], object]]) -> None:
        """So many of these ways in."""

        @hypothesis_settings(max_examples=tries, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(ways)
        def each(act: Callable[[], object]) -> None:
            self.accepts_or_refuses(act)

        each()
        self.looks_well()
        assert self.installation.operating.rebuild_views(by=ALICE).agreed
        self.looks_well()


@pytest.fixture
def site(installation: Service, tmp_path: Path) -> Site:
    installation.licences.generate_pair(tmp_path / "keys")
    installation.acting_tokens.trust((tmp_path / "keys" / "public.pem").read_bytes())
    installation.licences.trust((tmp_path / "keys" / "public.pem").read_bytes())
    people = ["prefect", "alice"]
    issued = tmp_path / "acme.licence"
    installation.licences.issue(tmp_path / "keys" / "private.pem", customer="Acme", users=people, days=9, out=issued)
    installation.licences.install(issued.read_bytes())
    return Site(installation, tmp_path / "keys" / "private.pem")


def odd_fields(whole: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The fields with one or two of them, or some that there are not, replaced by something odd."""
    some = st.dictionaries(st.sampled_from(list(whole)) | TEXTS, VALUES, min_size=1, max_size=2)
    return some.map(lambda odd: whole | odd) | st.dictionaries(TEXTS, VALUES, max_size=3)


OPTION = {"name": "learning_rate", "type": "number", "default": 0.1, "minimum": 0, "maximum": 1, "description": "x"}
OPTIONS = st.lists(
    odd_fields(OPTION)
    | st.builds(
        lambda kind, value: OPTION | {"type": kind, "default": value, "minimum": None, "maximum": None},
        st.sampled_from(["number", "integer", "text", "choice", "boolean"]),
        VALUES,
    ),
    min_size=1,
    max_size=2,
)
SPECS = odd_fields(METHOD) | OPTIONS.map(lambda options: METHOD | {"configuration_options": options})
RUN_OPTIONS = st.dictionaries(st.sampled_from(["learning_rate", "max_steps"]) | TEXTS, VALUES, min_size=1, max_size=2)
REQUESTS = odd_fields(REQUEST) | RUN_OPTIONS.map(lambda options: REQUEST | {"options": options})

each_number_of_tries = pytest.mark.parametrize("tries", TRIES)


@each_number_of_tries
def test_commands_on_methods(site: Site, tries: int) -> None:
    service = site.installation

    def add(fields: dict[str, Any], by: User) -> Callable[[], object]:
        return lambda: service.catalogue.add(MethodSpec.parse(fields), by=by)

    def modify(name: Any, changes: dict[str, Any], by: User) -> Callable[[], object]:
        return lambda: service.catalogue.modify(name, changes, by=by)

    def delete(name: Any, by: User) -> Callable[[], object]:
        return lambda: name == "sft-demo" or service.catalogue.delete(name, by=by)

    def refuse(name: Any, tried: dict[str, Any]) -> Callable[[], object]:
        return lambda: service.commands.record_refused(REFUSAL, action="add", name=name, tried=tried, by=BOB)

    site.tried(
        tries * 3,
        st.builds(add, SPECS, USERS)
        | st.builds(modify, NAMES, SPECS, USERS)
        | st.builds(delete, NAMES, USERS)
        | st.builds(refuse, VALUES, st.dictionaries(TEXTS, VALUES, max_size=3)),
    )


@each_number_of_tries
def test_commands_on_runs(site: Site, tries: int) -> None:
    service = site.installation

    def of_a_run(act: Callable[[UUID], object]) -> Callable[[], object]:
        def do() -> None:
            run_id = uuid4()
            service.trainings.request(run_id, RunRequest.parse(REQUEST), by=BOB)
            act(run_id)

        return do

    def request(fields: dict[str, Any]) -> Callable[[], object]:
        return lambda: service.trainings.request(uuid4(), RunRequest.parse(fields), by=BOB)

    def end(how: str, reason: str) -> Callable[[], object]:
        by = {"by": BOB} if how == "cancel" else {}
        return of_a_run(lambda run_id: getattr(service.trainings, how)(run_id, reason, **by))

    def start(field: str, value: str) -> Callable[[], object]:
        provenance = Provenance.model_construct(**PROVENANCE.model_dump() | {field: value})
        return of_a_run(lambda run_id: service.trainings.start(run_id, provenance))

    def complete(artifact: str, steps: int, metrics: dict[str, float]) -> Callable[[], object]:
        facts: dict[str, Any] = {"artifact_hash": "e" * 64, "before": metrics, "after": metrics, "metrics": metrics}
        return of_a_run(lambda run_id: service.trainings.complete(run_id, artifact=artifact, steps=steps, **facts))

    metrics = st.dictionaries(TEXTS, st.floats() | st.just(0.5), max_size=2)
    steps = st.integers() | st.sampled_from([10**400, 2**63])
    site.tried(
        tries * 3,
        st.builds(request, REQUESTS)
        | st.builds(end, st.sampled_from(["cancel", "fail"]), TEXTS)
        | st.builds(start, st.sampled_from(["machine", "device", "python"]), TEXTS)
        | st.builds(complete, TEXTS, steps, metrics)
        | steps.map(lambda step: of_a_run(lambda run_id: service.trainings.resume(run_id, step))),
    )


@each_number_of_tries
def test_queries(site: Site, tries: int) -> None:
    service = site.installation
    by_name = (
        service.catalogue.method,
        service.catalogue.versions,
        service.auditing.why,
        service.auditing.history_of,
        lambda name: service.trainings.all(method=name),
        lambda name: service.catalogue.may("add", name, by=BOB),
        lambda name: service.catalogue.may("modify", name, by=ALICE),
        lambda name: service.catalogue.may("delete", name, by=ALICE),
    )
    fields = st.dictionaries(st.sampled_from(list(AuditQuery.model_fields)), VALUES, min_size=1, max_size=2)
    counted = st.sampled_from(CountBy)
    site.tried(
        tries * 2,
        st.builds(lambda ask, name: lambda: ask(name), st.sampled_from(by_name), VALUES)
        | st.builds(lambda given: lambda: service.auditing.page(AuditQuery(**given)), fields)
        | st.builds(lambda by, given: lambda: service.auditing.counts(by, AuditQuery(**given)), counted, fields),
    )


@each_number_of_tries
def test_tokens_of_programs(site: Site, tries: int) -> None:
    flow = Service(site.installation.settings, flow_run_id=uuid4())
    actions = st.sampled_from([("train", REQUEST), ("add", METHOD), ("delete", {"internal_name": "custom02"})])

    def bring(token: Any, action: tuple[str, dict[str, Any]], odd: dict[str, Any]) -> Callable[[], object]:
        return lambda: acting(flow, token, action=action[0], given=action[1] | odd)

    def issue(person: str, action: tuple[str, dict[str, Any]], odd: dict[str, Any]) -> Callable[[], object]:
        given = action[1] | odd

        def do() -> None:
            token = issue_token(site.installation, site.key, person=person, action=action[0], given=given, minutes=5)
            acting(flow, token, action=action[0], given=given)

        return do

    odd = st.dictionaries(st.sampled_from([*REQUEST, *METHOD]) | TEXTS, VALUES, max_size=1)
    with flow:
        site.tried(tries * 2, st.builds(bring, VALUES, actions, odd) | st.builds(issue, TEXTS, actions, odd))


class _Watcher:
    """Takes what a run's flow tells, and tells nobody."""

    def phase(self, words: str) -> None: ...


@pytest.fixture
def flows(site: Site, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The flows' bodies, each acting for a flow run of its own, without a Prefect server."""
    from flows import acting, audit, manage, take_part, train

    @contextmanager
    def installation_of_this_run() -> Iterator[Service]:
        with Service(site.installation.settings, flow_run_id=uuid4()) as installation:
            yield installation

    @contextmanager
    def nobody(*_: object, **__: object) -> Iterator[_Watcher]:
        yield _Watcher()

    def requested(session: Any) -> None:
        site.installation.trainings.request(session.run_id, session._request, by=session._asker.user)

    for module in (acting, audit, manage, take_part, train):
        for name, double in (
            ("installation_of_this_run", installation_of_this_run),
            ("get_run_logger", lambda: logging.getLogger("odd")),
            ("this_run", uuid4),
            ("this_attempt", lambda: 1),
            ("ToldToPrefect", nobody),
            ("create_markdown_artifact", lambda *_, **__: None),
        ):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, double)
    monkeypatch.setattr(train, "prepare", requested)
    for step in ("measure_before", "fit", "measure_after", "publish"):
        monkeypatch.setattr(train, step, lambda _: None)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return SimpleNamespace(
        add=manage.add_training_method.fn,
        delete=manage.delete_training_method.fn,
        report=audit.audit_report.fn,
        take_part=take_part.take_part.fn,
        train=train.train.fn,
    )


@each_number_of_tries
def test_parameters_of_flows(site: Site, flows: Any, tries: int) -> None:
    part = {"run_id": str(uuid4()), "attempt": 1, "machine": 1, "machines": 2, "address": "a", "port": 1}
    known: list[tuple[Callable[..., object], dict[str, Any]]] = [
        (flows.add, METHOD | {"from_method": "", "acting_for": ""}),
        (flows.delete, {"internal_name": "custom02", "only_tell": False, "acting_for": ""}),
        (flows.report, {"days": 7, "method": "", "actor": "", "text": ""}),
        (flows.take_part, part),
        (flows.train, REQUEST | {"seed": 0, "output_name": "", "columns": "", "acting_for": ""}),
    ]
    METHOD_FIELDS = {name for name in known[0][1] if name != "code"}

    def run(flow: Callable[..., object], parameters: dict[str, Any]) -> Callable[[], object]:
        return lambda: flow(**parameters)

    def ways(flow: Callable[..., object], good: dict[str, Any]) -> st.SearchStrategy[Callable[[], object]]:
        good = {name: value for name, value in good.items() if name in METHOD_FIELDS or flow is not flows.add}
        odd = st.dictionaries(st.sampled_from(list(good)), VALUES, min_size=1, max_size=2)
        return odd.map(lambda odd: run(flow, good | odd))

    site.tried(tries * 4, st.one_of([ways(flow, good) for flow, good in known]))


COMMANDS = [
    ["list"],
    ["show", ...],
    ["add", ..., "--from", "sft-demo"],
    ["add", "odd-two", "--from", ...],
    ["modify", "custom01", "--display-name", ...],
    ["modify", "custom01", "--description", ...],
    ["modify", "custom01", "--default-dataset", ...],
    ["modify", "sft-demo", "--option", ...],
    ["modify", "custom01", "--option", "learning_rate:number=", ...],
    ["modify", "custom01", "--option", "max_steps:integer=", ...],
    ["modify", "custom01", "--file", ...],
    ["delete", ..., "--yes"],
    ["can", "add", ...],
    ["runs", "--method", ...],
    ["runs", ...],
    ["audit", "--actor", ...],
    ["audit", "--text", ...],
    ["audit", "--method", ...],
    ["audit", "--since", ...],
    ["audit", "--after", ...],
    ["audit", "--limit", ...],
    ["audit", "why", ...],
    ["licence", "install", ...],
    ["licence", "remove", ...],
]


def test_the_command_line(
    settings: Settings, site: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(command: list[Any], argument: str) -> Callable[[], object]:
        words: list[str] = []
        for word in command:
            if word is ... and words and words[-1].endswith("="):
                words[-1] += argument
            else:
                words.append(argument if word is ... else word)

        def do() -> None:
            code = run_command(lambda: Service(settings), words)
            said = capsys.readouterr()
            assert "unexpected" not in said.err, said.err
            assert code in range(7)

        return do

    numbers = NUMBERS.filter(lambda number: abs(number) < 10**4000).map(str)
    site.tried(60, st.builds(call, st.sampled_from(COMMANDS), ARGUMENTS | numbers))
