"""No entry point adds or deletes without passing the aggregate's rule."""

import ast
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.catalogue.preinstalled import SFT_DEMO
from domain.catalogue.training_method import TrainingMethod
from domain.errors import CommercialUsersOnly
from domain.people.users import INSTALLER, Edition
from infra.service import Service
from infra.settings import CHECKOUT

MINE = SFT_DEMO.with_changes({"display_name": "Mine"}).model_copy(update={"internal_name": "mine"})
SOURCES = [file for folder in ("domain", "flows", "adapters", "infra") for file in (CHECKOUT / folder).rglob("*.py")]


@cache
def all_calls() -> list[tuple[str, str, ast.Call]]:
    """Every call in our sources: the file that makes it, and the last name of what is called."""
    found = []
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).rpartition(".")[2]
                found.append((file.relative_to(CHECKOUT).as_posix(), called, node))
    return found


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call of something of this name in our sources, and the file that makes it."""
    return ((file, call) for file, called, call in all_calls() if called == name)


def test_only_the_aggregate_makes_its_events() -> None:
    events = {"Preinstalled", "Added", "AddedAgain", "Modified", "Deleted"}
    made = {(file, name) for name in (*events, "trigger_event", "_create") for file, _ in calls(name)}
    assert {file for file, name in made if name in events} <= {"domain/audit/projections.py"}  # as patterns of a match
    assert {file for file, name in made if name in ("trigger_event", "_create")} == {
        "domain/catalogue/training_method.py",
        "domain/runs/training_run.py",
    }


def test_only_the_licence_adapter_makes_a_commercial_entitlement() -> None:
    assert {file for file, _ in calls("Entitlement")} == {"adapters/licences/installed.py"}
    made = [ast.unparse(call) for _, call in calls("cls") if "edition" in ast.unparse(call)]
    assert made == ["cls(edition=Edition.NONCOMMERCIAL, because=because)"]


def test_only_the_wiring_makes_a_user_beside_the_installer() -> None:
    assert {file for file, _ in calls("User")} == {
        "infra/wiring.py",
        "domain/people/users.py",
        "domain/use_cases/signing_in.py",  # whoever has not signed in
    }
    assert INSTALLER.entitlement.edition is Edition.NONCOMMERCIAL


def test_the_service_refuses_and_records_it(installation: Service) -> None:
    service, user = installation, installation.user()
    with pytest.raises(CommercialUsersOnly):
        service.catalogue.add(MINE, by=user)
    with pytest.raises(CommercialUsersOnly):
        service.catalogue.delete("sft-demo", by=user)
    assert [entry.outcome for entry in service.auditing.entries()[-2:]] == ["refused", "refused"]
    assert {method.spec.internal_name for method in service.catalogue.selectable()} >= {"sft-demo"}


def test_adding_again_is_refused_like_adding(installation: Service, commercial: None) -> None:
    service = installation
    service.catalogue.delete("sft-demo", by=installation.user())
    for file in installation.settings.licences.iterdir():
        file.unlink()
    with pytest.raises(CommercialUsersOnly, match="no licence is installed"):
        service.catalogue.add(SFT_DEMO, by=installation.user())


def test_the_installer_installs_nothing_but_the_preinstalled_methods(installation: Service) -> None:
    with pytest.raises(ValueError, match="not one of the preinstalled methods"):
        TrainingMethod.preinstall(MINE, command_id=uuid4())
    with pytest.raises(ValueError, match="not one of the preinstalled methods"):
        installation.catalogue.preinstall((MINE,))
    with pytest.raises(CommercialUsersOnly):
        installation.catalogue.add(MINE, by=INSTALLER)


@pytest.mark.parametrize("flow", ["add_training_method", "delete_training_method"])
def test_the_flows_refuse_as_the_service_does(
    site: Any, installation: Service, monkeypatch: pytest.MonkeyPatch, flow: str
) -> None:
    from prefect.logging import disable_run_logger

    from flows import manage

    acting = Service(site, flow_run_id=uuid4())
    monkeypatch.setattr(manage, "installation_of_this_run", lambda: nullcontext(acting))
    fields = MINE.model_dump(mode="json", exclude={"code", "default_base_model", "default_dataset"})
    given = fields if flow == "add_training_method" else {"internal_name": "sft-demo"}
    with disable_run_logger():
        ended = getattr(manage, flow).fn(**given)
    assert ended.is_failed()
    assert "prefect may not" in ended.message
    entry = installation.auditing.entries()[-1]
    assert (entry.actor, entry.origin, entry.outcome) == ("prefect", "flow", "refused")
    acting.close()


def test_who_acts_is_not_asked_of_the_environment(installation: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    me = installation.user().name
    for variable in ("USER", "LOGNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "somebody-licensed")
    assert installation.user().name == me


def test_a_licence_is_asked_at_the_moment_of_the_command(installation: Service, commercial: None) -> None:
    assert installation.user().is_commercial
    for file in Path(installation.settings.licences).iterdir():
        file.unlink()
    assert not installation.user().is_commercial
