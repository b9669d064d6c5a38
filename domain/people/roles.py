"""Who may what: the roles that people have beside their edition, and a sentence for each refusal.

Everyone who is signed in lists, trains, sees and asks every run and exports its model, cancels, resumes and reruns
their own, shapes custom01 and custom02, uploads datasets, and sees the entries of their own acts. Commercial users also
add, modify and delete methods: see `User.must_be_commercial`. What else there is takes a role.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import NotOfTheRole


class Role(StrEnum):
    """What somebody is here beside a user."""

    AUDITOR = "auditor"
    """Sees the whole log, its proofs and exports."""
    OPERATOR = "operator"
    """Has licences, keys and pools in hand, and other people's runs, datasets, access tokens and sessions."""
    CODE_AUTHOR = "code author"
    """Saves code of methods also where it is not confined from the rest of the machine."""


EVERY_ROLE = frozenset(Role)
"""Those of the one user of a machine of their own, whom a licence alone makes commercial."""

_FOR_WHOM = {
    Role.AUDITOR: "auditors, who are named in TMM_AUDITORS or are of a group in TMM_OIDC_AUDITOR_GROUPS",
    Role.OPERATOR: "operators, who are named in TMM_OPERATORS or are of a group in TMM_OIDC_OPERATOR_GROUPS",
    Role.CODE_AUTHOR: "operators and those named in TMM_CODE_AUTHORS, as such code is not confined on this machine",
}


@dataclass(frozen=True)
class Roles:
    """Who has which role in a team: by name, or by a group that the identity provider says somebody is of."""

    operators: Collection[str] = ()
    auditors: Collection[str] = ()
    code_authors: Collection[str] = ()
    operator_groups: Collection[str] = ()
    auditor_groups: Collection[str] = ()

    def of(self, name: str, groups: Collection[str] = ()) -> frozenset[Role]:
        """The roles of somebody."""
        operator = name in self.operators or not set(groups).isdisjoint(self.operator_groups)
        auditor = name in self.auditors or not set(groups).isdisjoint(self.auditor_groups)
        has = {
            Role.OPERATOR: operator,
            Role.AUDITOR: auditor,
            Role.CODE_AUTHOR: operator or name in self.code_authors,
        }
        return frozenset(role for role, had in has.items() if had)


def must_have(roles: Collection[Role], role: Role, *, name: str, to: str) -> None:
    """Raise `NotOfTheRole` for somebody without the role; `to` completes «… may not»."""
    if role not in roles:
        raise NotOfTheRole(f"{name} may not {to}: this is for {_FOR_WHOM[role]}. Ask an operator.")


def must_be_allowed_to_save_code(roles: Collection[Role], *, name: str, confined: bool) -> None:
    """Raise `NotOfTheRole` unless methods' code is confined from the rest of the machine, or the role is there."""
    if not confined:
        must_have(roles, Role.CODE_AUTHOR, name=name, to="save code of a method")
