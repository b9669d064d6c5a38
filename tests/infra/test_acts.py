"""Every act has a handler, and an outside thing's error comes out of it in our words."""

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

import domain.use_cases
from domain.audit.operations import KeyPurpose
from domain.audit.read_models import AuditQuery
from domain.catalogue.method_spec import Backend
from domain.errors import CodeBreaksContract, DatabaseUnavailable, InvalidLicence, NotTheOperator
from domain.people.roles import EVERY_ROLE
from domain.ports import Finding
from domain.use_cases.act import Act
from domain.use_cases.audit import AuditPage, HowTheLogStands
from domain.use_cases.custom_code import CodeVersions, NewCode, SaveCode
from domain.use_cases.licences import MakeKeys, TrustKey
from domain.use_cases.operators.health import Examine
from domain.use_cases.proving import SignLog
from infra import wiring
from infra.acts import SUBJECTS
from infra.service import Service
from infra.settings import Settings
from tests.support.people import ALICE, BOB

OPERATOR = ALICE.model_copy(update={"roles": EVERY_ROLE})


def acts_of(module: str) -> Iterator[type[Act[object]]]:
    for _, found in inspect.getmembers(import_module(module), inspect.isclass):
        if (
            issubclass(found, Act)
            and found is not Act
            and found.__module__ == module
            and found.__name__[0] != "_"
            and "[" not in found.__name__
        ):
            yield found


@pytest.mark.parametrize(
    "module", [f"domain.use_cases.{found.name}" for found in pkgutil.iter_modules(domain.use_cases.__path__)]
)
def test_every_act_of_a_subject_has_a_handler(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")  # nobody is asked there
    acts = set(acts_of(module))
    with Service(Settings(home=tmp_path, backends="cuda")) as tmm:
        assert acts == (set(SUBJECTS[module](tmm)) if acts else set())


def test_the_log_says_where_it_stands_and_up_to_where_it_is_signed(tmp_path: Path) -> None:
    with Service(Settings(home=tmp_path, backends="cuda")) as tmm:
        before = tmm.do(HowTheLogStands(), by=OPERATOR)
        assert (before.signed_up_to, before.signed_at, before.all_shown) == (None, None, True)
        signed = tmm.do(SignLog(), by=OPERATOR)
        after = tmm.do(HowTheLogStands(), by=OPERATOR)
        assert after.signed_up_to == before.position == signed.checkpoint.position
        assert after.position == before.position + 1  # the signing is an entry too


def test_what_is_wrong_with_the_database_is_said_in_our_words(tmp_path: Path) -> None:
    with Service(Settings(home=tmp_path, backends="cuda")) as tmm:
        tmm.settings.sqlite_file.write_bytes(b"no database" * 1000)
        with pytest.raises(DatabaseUnavailable):
            tmm.do(AuditPage(query=AuditQuery()), by=OPERATOR)


def test_somebody_elses_installation_is_examined_and_each_check_says_why_it_cannot_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Settings) -> None:
        raise NotTheOperator("The installation belongs to somebody else.")

    monkeypatch.setattr(wiring, "must_be_ones_own", refused)
    with Service(Settings(home=tmp_path, backends="cuda")) as tmm:
        user = tmm.user()
        assert not user.is_commercial
        checks = {check.name: check for check in tmm.do(Examine(), by=user).checks}
        assert checks["licence"].words == "The installation belongs to somebody else."


def test_a_key_is_trusted_also_while_the_log_is_away_and_that_is_said(tmp_path: Path) -> None:
    with Service(Settings(home=tmp_path, backends="cuda")) as tmm:
        tmm.do(MakeKeys(folder=tmp_path / "keys"), by=OPERATOR)
        tmm.settings.sqlite_file.write_bytes(b"no database" * 1000)
        text = (tmp_path / "keys" / "public.pem").read_text()
        trusted = tmm.do(TrustKey(text=text, purpose=KeyPurpose.ACTING), by=OPERATOR)
        assert trusted.file == tmm.settings.acting_keys / f"{trusted.key_id}.pem"
        assert trusted.file.exists()
        assert (trusted.remark or "").startswith("The key is trusted, and the audit log was not told. ")
        with pytest.raises(InvalidLicence, match=r"^The key that was given is no Ed25519 public key"):
            tmm.do(TrustKey(text="nonsense"), by=OPERATOR)


def test_code_that_is_saved_is_heard_of_while_it_is_tried_and_one_that_breaks_the_contract_is_kept_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Heard:
        def __init__(self) -> None:
            self.found_, self.told_ = list[str](), list[str]()

        def found(self, finding: Finding) -> None:
            self.found_.append(finding.claim)

        def told(self, words: str) -> None:
            self.told_.append(words)

    def breaks(self: object, folder: Path, *, told: Callable[[Finding], None], **_: object) -> bool:
        told(Finding("it imports", "kept", "fast"))
        told(Finding("it trains", "broken", "not today"))
        return False

    monkeypatch.setattr("adapters.custom_code.workshop.Workshop.check", breaks)
    with Service(Settings(home=tmp_path / "home", backends="cuda")) as tmm:
        made = tmm.do(NewCode(name="custom01", folder=tmp_path / "mine"), by=BOB)
        assert made.backend is Backend.CUDA
        heard = Heard()
        with pytest.raises(CodeBreaksContract, match=r"breaks 1 claim of the contract \(it trains\)"):
            tmm.do(SaveCode(name="custom01", folder=tmp_path / "mine", listener=heard), by=BOB)
        assert (heard.found_, heard.told_) == (["it trains"], [f"Checking {tmp_path / 'mine'} on cuda …"])
        saved = tmm.do(SaveCode(name="custom01", folder=tmp_path / "mine", force=True), by=BOB)
        assert (saved.changed, saved.kept_aside is not None) == (False, True)
        kept = tmm.do(CodeVersions(name="custom01"), by=BOB)
        assert [(len(kept.versions), code.broken, code.by) for code in kept.aside] == [(1, ("it trains",), "bob")]
