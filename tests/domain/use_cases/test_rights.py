"""In a team, what is the operators' and the auditors' is refused to others, and recorded."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from domain.audit.read_models import AuditQuery, CountBy
from domain.errors import NotOfTheRole
from domain.people.roles import EVERY_ROLE
from domain.use_cases.audit import AuditPage, CountAudit
from domain.use_cases.licences import InstallLicence, RemoveLicence, TrustKey
from domain.use_cases.trainings import CancelRun, ResumeRun
from infra.service import Service
from infra.settings import Settings
from tests.support.people import ALICE, BOB, method, request

OPERATOR = BOB.model_copy(update={"name": "olga", "roles": EVERY_ROLE})


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Service]:
    with Service(Settings(home=tmp_path / "home", backends="cuda")) as installation:
        installation.migrate()
        yield installation


@pytest.mark.parametrize("act", [InstallLicence(text="x"), RemoveLicence(name="L-1"), TrustKey(text="x")])
def test_licences_and_keys_are_the_operators(team: Service, act: InstallLicence) -> None:
    with pytest.raises(NotOfTheRole, match="alice may not"):
        team.do(act, by=ALICE)
    [entry] = team.auditing.entries(AuditQuery(outcome="refused"))
    assert entry.actor == "alice"
    with pytest.raises(Exception, match=r"licence|key"):
        team.do(act, by=OPERATOR)


def test_only_the_operator_cancels_and_resumes_other_peoples_runs(team: Service) -> None:
    do, run_id = team.do, uuid4()
    team.catalogue.add(method(), by=ALICE)
    team.trainings.request(run_id, request(), by=ALICE)
    for act in (CancelRun(run_id=run_id, reason="no"), ResumeRun(run_id=run_id)):
        with pytest.raises(NotOfTheRole, match="of alice"):
            do(act, by=BOB)
    do(CancelRun(run_id=run_id, reason="It was mine."), by=ALICE)
    assert team.trainings.one(run_id).standing == "cancelled"


def test_who_is_no_auditor_sees_their_own_acts(team: Service) -> None:
    do = team.do
    team.catalogue.add(method(), by=ALICE)
    assert [entry.actor for entry in do(AuditPage(query=AuditQuery()), by=ALICE).entries] == ["alice"]
    assert do(AuditPage(query=AuditQuery()), by=BOB).entries == ()
    assert do(AuditPage(query=AuditQuery(actor="alice")), by=BOB).entries == ()
    assert do(CountAudit(by=CountBy.ACTOR, query=AuditQuery(actor="alice")), by=BOB) == []
    assert len(do(AuditPage(query=AuditQuery()), by=OPERATOR).entries) > 1
