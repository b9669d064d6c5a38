"""Every act has a handler, and an outside thing's error comes out of it in our words."""

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import pytest

import domain.use_cases
from adapters.cli import run
from domain.audit.operations import KeyPurpose
from domain.audit.read_models import AuditQuery
from domain.catalogue.method_spec import Backend
from domain.errors import (
    CodeBreaksContract,
    CommercialUsersOnly,
    DatabaseUnavailable,
    InvalidLicence,
    InvalidMethod,
    MethodNotSelectable,
    NotTheOperator,
)
from domain.people.roles import EVERY_ROLE
from domain.ports import Finding
from domain.use_cases.act import Act
from domain.use_cases.audit import AuditPage, HowTheLogStands
from domain.use_cases.custom_code import CodeVersions, NewCode, SaveCode
from domain.use_cases.licences import MakeKeys, TrustKey
from domain.use_cases.methods import AddMethod, DeleteMethod, ShowMethod
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


def test_what_an_added_methods_options_leave_out_is_the_trainers_whichever_way_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(home=tmp_path / "home", backends="cuda")
    monkeypatch.setattr(Service, "user", lambda _: ALICE)
    fields = ("--type", "SFT", "--trainer", "sft", "--backend", "cuda", "--description", "d")
    option = ("--option", "learning_rate:number=2e-5")
    assert run(lambda: Service(settings), ["add", "one", *fields, *option]) == 0, capsys.readouterr().err
    (tmp_path / "two.yaml").write_text(
        "internal_name: two\nmethod_type: SFT\ntrainer: sft\nbackends: [cuda]\ndescription: d\n"
        "configuration_options: [{name: learning_rate, default: 2.0e-5}]\n"
    )
    assert run(lambda: Service(settings), ["add", "--file", "two.yaml"]) == 0, capsys.readouterr().err
    with Service(settings) as tmm:
        given = {"method_type": "SFT", "trainer": "sft", "backends": ["cuda"], "description": "d"}
        options = [{"name": "learning_rate", "default": 2e-5}]
        three = tmm.do(AddMethod(fields=given | {"internal_name": "three", "configuration_options": options}), by=ALICE)
        made = [tmm.do(ShowMethod(name=name), by=ALICE).spec for name in ("one", "two", "three")]
        assert made[2] == three.method.spec
        assert len({str(spec.configuration_options) for spec in made}) == 1
        (rate,) = made[0].configuration_options
        assert (rate.default, rate.minimum is not None, rate.maximum is not None) == (2e-5, True, True)


def test_who_may_not_add_is_told_that_before_anything_about_their_values_and_it_is_recorded(tmp_path: Path) -> None:
    with Service(Settings(home=tmp_path, backends="cuda")) as tmm:
        with pytest.raises(CommercialUsersOnly):
            tmm.do(AddMethod(fields={"internal_name": "mine", "backends": "nonsense"}), by=BOB)
        refused = tmm.do(AuditPage(query=AuditQuery(newest_first=True, limit=1)), by=BOB).entries[0]
        assert (refused.action, refused.outcome, refused.actor, refused.method) == ("add", "refused", "bob", "mine")
        with pytest.raises(InvalidMethod, match="backends"):
            tmm.do(AddMethod(fields={"internal_name": "mine", "backends": "nonsense"}), by=ALICE)


def test_a_deletion_repeated_after_its_acknowledgement_was_lost_is_done_once(tmp_path: Path) -> None:
    with Service(Settings(home=tmp_path, backends="cuda")) as tmm:
        once = uuid4()
        first = tmm.do(DeleteMethod(name="sft-demo"), by=ALICE, command_id=once)
        again = tmm.do(DeleteMethod(name="sft-demo"), by=ALICE, command_id=once)
        assert (again.method.spec, again.cancelled) == (first.method.spec, ())
        with pytest.raises(MethodNotSelectable):
            tmm.do(DeleteMethod(name="sft-demo"), by=ALICE)
