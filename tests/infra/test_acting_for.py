"""A program that acts for a person: the audit log names the person, and what does not hold is refused and recorded."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError, OperationalError
from prefect.client.schemas.objects import State
from prefect.logging import disable_run_logger

from domain.audit.operations import ActingTokenUsed
from domain.audit.read_models import AuditQuery
from domain.catalogue.preinstalled import SFT_DEMO
from domain.clock import Time
from domain.errors import CommercialUsersOnly, InvalidMethod, RunAlreadyFinished, TokenDoesNotHold
from flows import manage
from infra.acting_for import acting, issue_token
from infra.service import Service
from infra.settings import Settings
from infra.trainings.training_session import recorded_session
from tests.infra.runs.conftest import Quiet

ASKED = {
    "method": "sft-demo",
    "backend": "cuda",
    "base_model": "small-base",
    "dataset": "sft-demo",
    "options": {"max_steps": 50},
    "seed": 0,
    "output_name": "",
    "columns": "",
}
DELETE = {"internal_name": "sft-demo"}
ADD = {"internal_name": "mine", "from_method": "sft-demo"}

Ran = Callable[..., State[Any]]


@pytest.fixture
def key(installation: Service, tmp_path: Path) -> Path:
    installation.licences.generate_pair(tmp_path / "keys")
    installation.acting_tokens.trust((tmp_path / "keys" / "public.pem").read_bytes())
    return tmp_path / "keys" / "private.pem"


@pytest.fixture
def issuer(installation: Service, tmp_path: Path) -> Callable[[], None]:
    """Installs a licence for alice."""
    installation.licences.generate_pair(tmp_path / "issuer")
    installation.licences.trust((tmp_path / "issuer" / "public.pem").read_bytes())

    def install() -> None:
        out = tmp_path / f"{uuid4()}.licence"
        private = tmp_path / "issuer" / "private.pem"
        installation.licences.issue(private, customer="Acme", users=["alice"], days=1, out=out)
        installation.licences.install(out.read_bytes())

    return install


@pytest.fixture
def flow(settings: Settings, installation: Service) -> Iterator[Service]:
    """The same installation as a flow run sees it."""
    with Service(settings, flow_run_id=uuid4()) as flow:
        yield flow


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """How a flow of the catalogue ends in a flow run."""

    def run(seen: Service, flow: str, given: dict[str, Any], token: object = "") -> State[Any]:
        monkeypatch.setattr(manage, "installation_of_this_run", lambda: nullcontext(seen))
        with disable_run_logger():
            ended = getattr(manage, f"{flow}_training_method").fn(**given, acting_for=token)
        return ended or State(type="COMPLETED", message="")

    return run


def token_for(tmm: Service, key: Path, action: str, given: dict[str, Any]) -> str:
    return issue_token(tmm, key, person="alice", action=action, given=given, minutes=5)


def told(tmm: Service) -> list[tuple[str, str, str]]:
    return [(entry.actor, entry.action, entry.outcome) for entry in tmm.auditing.entries() if entry.flow_run_id]


def test_the_person_of_the_token_acts_and_what_has_a_default_may_be_left_out(
    installation: Service, flow: Service, key: Path
) -> None:
    token = token_for(installation, key, "train", {"method": "sft-demo", "options": {"max_steps": 50}})
    user = acting(flow, token, action="train", given=ASKED).user
    assert (user.name, user.origin, user.is_commercial) == ("alice", "flow", False)
    assert isinstance(user.flow_run_id, UUID)


def test_a_flow_run_that_is_tried_again_says_that_it_was_done_and_does_it_no_second_time(
    installation: Service, flow: Service, key: Path, issuer: Callable[[], None], ran: Ran
) -> None:
    issuer()
    token = token_for(installation, key, "delete", DELETE)
    assert ran(flow, "delete", DELETE, token).is_completed()
    installation.catalogue.add(SFT_DEMO, by=flow.user(acting_for="alice"))
    again = ran(flow, "delete", DELETE, token)
    assert again.is_completed()
    assert "done before, by this same flow run: alice deleted SFT-Demo" in (again.message or "")
    assert "sft-demo" in [method.spec.internal_name for method in installation.catalogue.selectable()]
    assert told(installation) == [
        ("alice", "use-token", "done"),
        ("alice", "delete", "done"),
        ("alice", "add-again", "done"),
    ]
    installation.operating.rebuild_views(by=installation.user())


def test_a_method_is_added_once_with_a_token_however_often_its_flow_run_is_tried_again(
    installation: Service, flow: Service, key: Path, issuer: Callable[[], None], ran: Ran
) -> None:
    issuer()
    token = token_for(installation, key, "add", ADD)
    assert ran(flow, "add", ADD, token).is_completed()
    for given in (ADD, ADD | {"from_method": "gone"}):  # whatever became of what it was copied from
        assert "alice added mine" in (ran(flow, "add", given, token).message or "")
    other = ran(flow, "add", ADD | {"internal_name": "other"}, token)
    assert (other.is_failed(), "was used before" in (other.message or "")) == (True, True)
    assert told(installation) == [
        ("alice", "use-token", "done"),
        ("alice", "add", "done"),
        ("prefect", "add", "refused"),
    ]


def test_a_refusal_spends_the_token_and_stays_one(
    settings: Settings,
    installation: Service,
    flow: Service,
    key: Path,
    issuer: Callable[[], None],
    ran: Ran,
) -> None:
    token = token_for(installation, key, "delete", DELETE)
    first = ran(flow, "delete", DELETE, token)
    assert "alice may not delete SFT-Demo" in (first.message or "")
    issuer()  # what alice may do now does not change what came of this token
    again = ran(flow, "delete", DELETE, token)
    assert (again.is_failed(), again.message) == (True, first.message)
    with Service(settings, flow_run_id=uuid4()) as another:
        assert "was used before" in (ran(another, "delete", DELETE, token).message or "")
    assert told(installation) == [
        ("alice", "use-token", "done"),
        ("alice", "delete", "refused"),
        ("prefect", "delete", "refused"),
    ]


def test_an_answer_given_before_outlives_the_token(
    installation: Service, flow: Service, key: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, unused = (token_for(installation, key, "delete", DELETE) for _ in range(2))
    first = ran(flow, "delete", DELETE, token)

    def later() -> Time:
        now = Time.of_this_machine().now + timedelta(hours=2)
        return Time(now, now)

    monkeypatch.setattr(flow.log, "time", later)
    assert ran(flow, "delete", DELETE, token).message == first.message
    assert "expired at" in (ran(flow, "delete", DELETE, unused).message or "")


@pytest.mark.parametrize("licensed", [True, False])
def test_a_crash_before_it_is_stored_leaves_the_token_unspent(
    installation: Service,
    flow: Service,
    key: Path,
    issuer: Callable[[], None],
    ran: Ran,
    monkeypatch: pytest.MonkeyPatch,
    licensed: bool,
) -> None:
    if licensed:
        issuer()
    token = token_for(installation, key, "delete", DELETE)

    def crash(*_: object, **__: object) -> None:
        raise OperationalError("the power went")

    with monkeypatch.context() as crashing:
        crashing.setattr(flow.log.recorder, "insert_events", crash)
        assert ran(flow, "delete", DELETE, token).is_failed()
    assert told(installation) == []
    assert ran(flow, "delete", DELETE, token).is_completed() is licensed
    assert told(installation) == [
        ("alice", "use-token", "done"),
        ("alice", "delete", "done" if licensed else "refused"),
    ]


@pytest.mark.parametrize("licensed", [True, False])
def test_a_lost_acknowledgement_is_no_second_use(
    installation: Service,
    flow: Service,
    key: Path,
    issuer: Callable[[], None],
    ran: Ran,
    monkeypatch: pytest.MonkeyPatch,
    licensed: bool,
) -> None:
    if licensed:
        issuer()
    token = token_for(installation, key, "delete", DELETE)
    save, lost = flow.log.save, []

    def saved_and_not_told(*events: Any, **how: Any) -> Any:
        saved = save(*events, **how)
        if not lost:
            lost.append(saved)
            raise IntegrityError("it is there already")
        return saved

    monkeypatch.setattr(flow.log, "save", saved_and_not_told)
    assert ran(flow, "delete", DELETE, token).is_completed() is licensed
    assert told(installation) == [
        ("alice", "use-token", "done"),
        ("alice", "delete", "done" if licensed else "refused"),
    ]


@pytest.mark.parametrize("licensed", [True, False])
def test_of_flow_runs_that_bring_a_token_at_the_same_moment_one_may_use_it(
    settings: Settings, installation: Service, key: Path, issuer: Callable[[], None], licensed: bool
) -> None:
    if licensed:
        issuer()
    token = token_for(installation, key, "delete", DELETE)
    flows = [Service(settings, flow_run_id=uuid4()) for _ in range(4)]
    who = [acting(one, token, action="delete", given=DELETE) for one in flows]  # all of them, before any has used it

    def tried(number: int) -> str:
        with flows[number] as one:
            try:
                one.catalogue.delete("sft-demo", by=who[number].user, token=who[number].token)
            except TokenDoesNotHold:
                return "the token does not hold"
            except CommercialUsersOnly:
                return "refused"
            return "deleted"

    with ThreadPoolExecutor(4) as threads:
        ends = sorted(threads.map(tried, range(4)))
    assert ends == sorted(["deleted" if licensed else "refused", *["the token does not hold"] * 3])
    assert sorted(told(installation)) == sorted(
        [
            ("alice", "use-token", "done"),
            ("alice", "delete", "done" if licensed else "refused"),
            *[("prefect", "delete", "refused")] * 3,
        ]
    )


def test_a_token_is_spent_with_the_request_of_its_run_which_goes_on_without_it(
    settings: Settings, installation: Service, flow: Service, key: Path
) -> None:
    token, run_id = token_for(installation, key, "train", ASKED), uuid4()

    def begun_and_crashed() -> None:
        with recorded_session(flow, run_id, ASKED, Quiet(), attempt=1, acting_for=token) as session:
            session.start()
            raise RuntimeError("its machine burst into flames")

    with pytest.raises(RuntimeError, match="flames"):
        begun_and_crashed()
    with pytest.raises(RunAlreadyFinished):  # not for its token, which nobody asks for any more
        begun_and_crashed()
    acts = [(actor, action) for actor, action, _ in told(installation)]
    assert acts == [("alice", "use-token"), ("alice", "request"), ("alice", "start"), ("alice", "fail")]
    with Service(settings, flow_run_id=uuid4()) as another, pytest.raises(TokenDoesNotHold, match="used before"):
        acting(another, token, action="train", given=ASKED)


def test_a_token_that_was_used_before_outcomes_were_remembered_counts_for_nothing_any_more(
    installation: Service, flow: Service, key: Path
) -> None:
    token = token_for(installation, key, "train", ASKED)
    held = acting(flow, token, action="train", given=ASKED).token
    assert held is not None
    used = held.used(command_id=uuid4(), led_to=uuid4()).model_copy(update={"led_to": None})
    assert isinstance(used, ActingTokenUsed)
    installation.log.save(used)
    with pytest.raises(TokenDoesNotHold, match="used before"):
        acting(flow, token, action="train", given=ASKED)


def test_without_a_token_prefect_acts(flow: Service) -> None:
    assert acting(flow, "", action="train", given=ASKED).user.name == "prefect"


def test_a_token_for_other_parameters_is_refused_and_the_audit_log_has_it(
    installation: Service, flow: Service, key: Path
) -> None:
    token = token_for(installation, key, "train", ASKED)
    with pytest.raises(TokenDoesNotHold):
        acting(flow, token, action="train", given=ASKED | {"seed": 1})
    (entry,) = installation.auditing.entries(AuditQuery(outcome="refused"))
    assert (entry.actor, entry.action, entry.subject_name) == ("prefect", "request", "sft-demo")
    assert "other parameters" in (entry.reason or "")


ODD: list[dict[str, Any]] = [
    {"internal_name": "Not A Name"},
    {"internal_name": "mine", "from_method": "gone"},
    {"internal_name": "mine", "backends": "cuda", "configuration_options": [7, {"name": 5}]},
    {"internal_name": "mine", "from_method": {"a": 1}},
    {"internal_name": ["mine"]},
    {"internal_name": None},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.parametrize("brings", ["no token", "a forged token", "no text", "a token for something else"])
def test_who_may_not_add_is_refused_and_recorded_whatever_else_is_wrong(
    installation: Service, flow: Service, key: Path, ran: Ran, brings: str, odd: dict[str, Any]
) -> None:
    good = token_for(installation, key, "add", ADD)
    token = {"no token": "", "a forged token": good[:-8] + "AAAAAAAA", "no text": 7}.get(brings, good)
    ended = ran(flow, "add", odd, token)
    assert ended.is_failed()
    assert ("commercial users only" if brings == "no token" else "The token of the person") in (ended.message or "")
    (entry,) = installation.auditing.entries(AuditQuery(outcome="refused"))
    assert (entry.actor, entry.action) == ("prefect", "add")
    assert entry.reason is not None
    assert (ended.message or "").startswith(entry.reason)  # after it comes what one can do about it


@pytest.mark.parametrize("odd", [{"a": 1}, 7, None, ["sft-demo"], "no\x00name"], ids=str)
def test_what_is_no_name_is_the_name_of_nothing_that_could_be_deleted(
    flow: Service, key: Path, ran: Ran, odd: object
) -> None:
    ended = ran(flow, "delete", {"internal_name": odd})
    assert "There is no training method" in (ended.message or "")


def test_whoever_may_add_is_told_what_is_wrong(installation: Service, flow: Service, ran: Ran, tmp_path: Path) -> None:
    installation.licences.generate_pair(tmp_path / "issuer")
    installation.licences.trust((tmp_path / "issuer" / "public.pem").read_bytes())
    private, out = tmp_path / "issuer" / "private.pem", tmp_path / "one.licence"
    installation.licences.issue(private, customer="Acme", users=["prefect"], days=1, out=out)
    installation.licences.install(out.read_bytes())
    assert "internal_name: must be 2 to 63" in (ran(flow, "add", {"internal_name": "Not A Name"}).message or "")
    assert installation.auditing.entries(AuditQuery(outcome="refused")) == []


@pytest.mark.parametrize("wrong", [{"seed": "many"}, {"backend": "abacus"}, {"options": 7}, {"method": ["sft-demo"]}])
@pytest.mark.parametrize("brings", ["a forged token", "an expired token", "a token for something else"])
def test_a_token_that_does_not_hold_is_recorded_also_with_parameters_that_no_training_has(
    installation: Service, flow: Service, key: Path, brings: str, wrong: dict[str, Any]
) -> None:
    minutes = -1 if brings == "an expired token" else 5
    token = issue_token(installation, key, person="alice", action="train", given=ASKED, minutes=minutes)
    if brings == "a forged token":
        token = token[:-8] + "AAAAAAAA"
    with (
        pytest.raises(TokenDoesNotHold),
        recorded_session(flow, uuid4(), ASKED | wrong, Quiet(), attempt=1, acting_for=token),
    ):
        pass
    (entry,) = installation.auditing.entries(AuditQuery(outcome="refused"))
    assert (entry.actor, entry.action) == ("prefect", "request")


def test_a_person_without_a_licence_may_not_delete_through_a_program_either(
    installation: Service, flow: Service, key: Path
) -> None:
    who = acting(flow, token_for(installation, key, "delete", DELETE), action="delete", given=DELETE)
    with pytest.raises(CommercialUsersOnly):
        flow.catalogue.delete("sft-demo", by=who.user, token=who.token)
    (entry,) = installation.auditing.entries(AuditQuery(outcome="refused"))
    assert (entry.actor, entry.action) == ("alice", "delete")


def test_no_token_can_be_issued_for_what_no_command_could_have(installation: Service, key: Path) -> None:
    with pytest.raises(InvalidMethod):
        token_for(installation, key, "add", {"internal_name": "Not A Name"})
