"""Every act has a handler, and an outside thing's error comes out of it in our words."""

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import domain.use_cases
from domain.audit.read_models import AuditQuery
from domain.errors import DatabaseUnavailable, NotTheOperator
from domain.use_cases.act import Act
from domain.use_cases.audit import AuditPage, HowTheLogStands
from domain.use_cases.health import Examine
from domain.use_cases.proving import SignLog
from infra import wiring
from infra.acts import SUBJECTS
from infra.settings import Settings
from infra.wiring import Installation
from tests.support.people import ALICE


def acts_of(module: str) -> Iterator[type[Act[object]]]:
    for _, found in inspect.getmembers(import_module(module), inspect.isclass):
        if issubclass(found, Act) and found.__module__ == module and "[" not in found.__name__ and found is not Act:
            yield found


@pytest.mark.parametrize(
    "module", [f"domain.use_cases.{found.name}" for found in pkgutil.iter_modules(domain.use_cases.__path__)]
)
def test_every_act_of_a_subject_has_a_handler(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")  # nobody is asked there
    acts = set(acts_of(module))
    with Installation(Settings(home=tmp_path, backends="cuda")) as tmm:
        assert acts == (set(SUBJECTS[module](tmm)) if acts else set())


def test_the_log_says_where_it_stands_and_up_to_where_it_is_signed(tmp_path: Path) -> None:
    with Installation(Settings(home=tmp_path, backends="cuda")) as tmm:
        before = tmm.do(HowTheLogStands(), by=ALICE)
        assert (before.signed_up_to, before.signed_at, before.all_shown) == (None, None, True)
        signed = tmm.do(SignLog(), by=ALICE)
        after = tmm.do(HowTheLogStands(), by=ALICE)
        assert after.signed_up_to == before.position == signed.checkpoint.position
        assert after.position == before.position + 1  # the signing is an entry too


def test_what_is_wrong_with_the_database_is_said_in_our_words(tmp_path: Path) -> None:
    with Installation(Settings(home=tmp_path, backends="cuda")) as tmm:
        tmm.settings.sqlite_file.write_bytes(b"no database" * 1000)
        with pytest.raises(DatabaseUnavailable):
            tmm.do(AuditPage(query=AuditQuery()), by=ALICE)


def test_somebody_elses_installation_is_examined_and_each_check_says_why_it_cannot_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Settings) -> None:
        raise NotTheOperator("The installation belongs to somebody else.")

    monkeypatch.setattr(wiring, "must_be_ones_own", refused)
    with Installation(Settings(home=tmp_path, backends="cuda")) as tmm:
        user = tmm.user()
        assert not user.is_commercial
        checks = {check.name: check for check in tmm.do(Examine(), by=user).checks}
        assert checks["licence"].words == "The installation belongs to somebody else."
