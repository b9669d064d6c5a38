"""In a team, what is the operators' and the auditors' is refused to others, and recorded."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from domain.audit.read_models import AuditQuery, CountBy
from domain.errors import NotTheOperator
from domain.use_cases.audit import AuditPage, CountAudit
from domain.use_cases.licences import InstallLicence, RemoveLicence, TrustKey
from domain.use_cases.trainings import CancelRun, ResumeRun
from infra.operating_system_user import operating_system_user
from infra.page_acts import PageActs
from infra.settings import Settings
from infra.wiring import Installation
from tests.support.people import ALICE, BOB, method, request

OPERATOR = BOB.model_copy(update={"name": operating_system_user()})


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings(home=tmp_path / "home", backends="cuda")) as installation:
        installation.migrate()
        installation.settings = installation.settings.model_copy(update={"team": True})
        yield installation


@pytest.mark.parametrize("act", [InstallLicence(text="x"), RemoveLicence(name="L-1"), TrustKey(text="x")])
def test_licences_and_keys_are_the_operators(team: Installation, act: InstallLicence) -> None:
    with pytest.raises(NotTheOperator, match="alice may not"):
        PageActs(team)(act, by=ALICE)
    [entry] = team.service.audit(AuditQuery(outcome="refused"))
    assert entry.actor == "alice"
    with pytest.raises(Exception, match=r"licence|key"):
        PageActs(team)(act, by=OPERATOR)


def test_only_the_operator_cancels_and_resumes_other_peoples_runs(team: Installation) -> None:
    do, run_id = PageActs(team), uuid4()
    team.service.add_method(method(), by=ALICE)
    team.service.request_run(run_id, request(), by=ALICE)
    for act in (CancelRun(run_id=run_id, reason="no"), ResumeRun(run_id=run_id)):
        with pytest.raises(NotTheOperator, match="of alice"):
            do(act, by=BOB)
    do(CancelRun(run_id=run_id, reason="It was mine."), by=ALICE)
    assert team.service.training_run(run_id).standing == "cancelled"


def test_who_is_no_auditor_sees_their_own_acts(team: Installation) -> None:
    do = PageActs(team)
    team.service.add_method(method(), by=ALICE)
    assert [entry.actor for entry in do(AuditPage(query=AuditQuery()), by=ALICE).entries] == ["alice"]
    assert do(AuditPage(query=AuditQuery()), by=BOB).entries == ()
    assert do(AuditPage(query=AuditQuery(actor="alice")), by=BOB).entries == ()
    assert do(CountAudit(by=CountBy.ACTOR, query=AuditQuery(actor="alice")), by=BOB) == []
    assert len(do(AuditPage(query=AuditQuery()), by=OPERATOR).entries) > 1
