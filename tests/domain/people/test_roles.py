"""Who may what beside being commercial, with a sentence for each refusal."""

import pytest

from domain.audit.read_models import LOG_BEGINS
from domain.errors import NotOfTheRole
from domain.people.roles import EVERY_ROLE, Role, Roles, must_be_allowed_to_save_code
from tests.support.people import ALICE, method
from tests.support.services import Services

TEAM = Roles(
    operators={"olga"},
    auditors={"aldo"},
    code_authors={"cleo"},
    operator_groups={"platform"},
    auditor_groups={"revision"},
)


@pytest.mark.parametrize(
    ("name", "groups", "roles"),
    [
        ("bob", (), set()),
        ("bob", ("people",), set()),
        ("olga", (), {Role.OPERATOR, Role.CODE_AUTHOR}),
        ("bob", ("people", "platform"), {Role.OPERATOR, Role.CODE_AUTHOR}),
        ("aldo", (), {Role.AUDITOR}),
        ("bob", ("revision",), {Role.AUDITOR}),
        ("cleo", (), {Role.CODE_AUTHOR}),
        ("Olga", (), set()),
        ("platform", (), set()),
    ],
)
def test_roles_are_given_by_name_or_by_group(name: str, groups: tuple[str, ...], roles: set[Role]) -> None:
    assert TEAM.of(name, groups) == roles


def test_without_a_setting_nobody_of_a_team_has_a_role() -> None:
    assert Roles().of("bob", ("", "people")) == frozenset()


def test_whoever_lacks_a_role_is_told_whose_it_is() -> None:
    with pytest.raises(NotOfTheRole, match=r"^alice may not install a licence: this is for operators, .*TMM_OPERATORS"):
        ALICE.must_be(Role.OPERATOR, to="install a licence")
    ALICE.model_copy(update={"roles": EVERY_ROLE}).must_be(Role.OPERATOR, to="install a licence")


def test_what_is_ones_own_takes_no_role_and_what_is_anothers_takes_an_operator() -> None:
    ALICE.must_own("alice", to="cancel a run")
    with pytest.raises(NotOfTheRole, match="alice may not cancel a run of bob: this is for operators"):
        ALICE.must_own("bob", to="cancel a run")
    ALICE.model_copy(update={"roles": frozenset({Role.OPERATOR})}).must_own("bob", to="cancel a run")


def test_code_that_is_not_confined_is_saved_by_its_authors_alone() -> None:
    must_be_allowed_to_save_code((), name="bob", confined=True)
    must_be_allowed_to_save_code({Role.CODE_AUTHOR}, name="cleo", confined=False)
    with pytest.raises(NotOfTheRole, match=r"bob may not save code of a method: .*TMM_CODE_AUTHORS"):
        must_be_allowed_to_save_code({Role.AUDITOR}, name="bob", confined=False)


def test_what_is_recorded_of_a_user_has_no_roles(service: Services) -> None:
    olga = ALICE.model_copy(update={"roles": EVERY_ROLE})
    service.catalogue.add(method(), by=olga)
    service.operating.licence_removed("L-17", reason="the contract ended", by=olga)
    for event, _, _ in service.log.decoded(LOG_BEGINS):
        assert event is not None
        assert event.by == ALICE
