"""A program that acts for a person: the audit log names the person, and what does not hold is refused and recorded."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from domain.errors import CommercialUsersOnly, TokenDoesNotHold
from domain.read_models import AuditQuery
from infra.acting_for import acting_user, issue_token
from infra.settings import Settings
from infra.wiring import Installation

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


@pytest.fixture
def key(installation: Installation, tmp_path: Path) -> Path:
    installation.licences.generate_pair(tmp_path / "keys")
    installation.trust_acting_key(tmp_path / "keys" / "public.pem")
    return tmp_path / "keys" / "private.pem"


@pytest.fixture
def flow(settings: Settings, installation: Installation) -> Installation:
    """The same installation as a flow run sees it."""
    return Installation(settings, flow_run_id=uuid4())


def test_the_person_of_the_token_acts_and_what_has_a_default_may_be_left_out(
    installation: Installation, flow: Installation, key: Path
) -> None:
    token = issue_token(
        installation,
        key,
        person="alice",
        action="train",
        given={"method": "sft-demo", "options": {"max_steps": 50}},
        minutes=5,
    )
    user = acting_user(flow, token, action="train", given=ASKED)
    assert (user.name, user.origin, user.is_commercial) == ("alice", "flow", False)
    assert isinstance(user.flow_run_id, UUID)


def test_a_token_counts_once_for_the_flow_run_that_brings_it_first(
    settings: Settings, installation: Installation, flow: Installation, key: Path
) -> None:
    token = issue_token(installation, key, person="alice", action="train", given=ASKED, minutes=5)
    for _ in range(2):  # a flow run that is tried again is no other one
        assert acting_user(flow, token, action="train", given=ASKED).name == "alice"
    with Installation(settings, flow_run_id=uuid4()) as another, pytest.raises(TokenDoesNotHold, match="used before"):
        acting_user(another, token, action="train", given=ASKED)
    told = [(entry.actor, entry.action, entry.outcome) for entry in installation.service.audit() if entry.flow_run_id]
    assert told == [("alice", "use-token", "done"), ("prefect", "request", "refused")]
    installation.service.rebuild_views(by=installation.user())


def test_of_two_flow_runs_that_bring_a_token_at_the_same_moment_one_may_use_it(
    settings: Settings, installation: Installation, key: Path
) -> None:
    token = issue_token(installation, key, person="alice", action="train", given=ASKED, minutes=5)

    def tried(_: int) -> str:
        with Installation(settings, flow_run_id=uuid4()) as one:
            try:
                return acting_user(one, token, action="train", given=ASKED).name
            except TokenDoesNotHold:
                return "refused"

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(tried, range(4))) == ["alice", "refused", "refused", "refused"]


def test_without_a_token_prefect_acts(flow: Installation) -> None:
    assert acting_user(flow, "", action="train", given=ASKED).name == "prefect"


def test_a_token_for_other_parameters_is_refused_and_the_audit_log_has_it(
    installation: Installation, flow: Installation, key: Path
) -> None:
    token = issue_token(installation, key, person="alice", action="train", given=ASKED, minutes=5)
    with pytest.raises(TokenDoesNotHold):
        acting_user(flow, token, action="train", given=ASKED | {"seed": 1})
    (entry,) = installation.service.audit(AuditQuery(outcome="refused"))
    assert (entry.actor, entry.action, entry.subject_name) == ("prefect", "request", "sft-demo")
    assert "other parameters" in (entry.reason or "")


def test_a_person_without_a_licence_may_not_delete_through_a_program_either(
    installation: Installation, flow: Installation, key: Path
) -> None:
    given = {"internal_name": "sft-demo"}
    token = issue_token(installation, key, person="alice", action="delete", given=given, minutes=5)
    user = acting_user(flow, token, action="delete", given=given)
    with pytest.raises(CommercialUsersOnly):
        flow.service.delete_method("sft-demo", by=user)
    (entry,) = installation.service.audit(AuditQuery(outcome="refused"))
    assert (entry.actor, entry.action) == ("alice", "delete")
