"""Who may sign in at the page of this installation, and with which roles."""

from typing import TYPE_CHECKING

from domain.audit.operations import Way
from domain.people.roles import EVERY_ROLE, Role, Roles
from domain.people.sessions import Identity
from domain.use_cases.signing_in import SigningIn
from infra.operating_system_user import operating_system_user
from infra.serving.page.place import asks_here

if TYPE_CHECKING:
    from infra.wiring import Installation


def signing_in_of(tmm: "Installation") -> SigningIn:
    """Who may sign in at the page of this installation, and with which roles."""
    from adapters.store.tables import kept_sessions

    settings = tmm.settings
    roles = Roles(
        operators=settings.operators,
        auditors=settings.auditors,
        code_authors=settings.code_authors,
        operator_groups=settings.oidc_operator_groups,
        auditor_groups=settings.oidc_auditor_groups,
    )

    def roles_of(identity: Identity) -> frozenset[Role]:
        return EVERY_ROLE if identity.way is Way.LOCAL_KEY else roles.of(identity.name, identity.groups)

    return SigningIn(
        tmm.log,
        kept_sessions(settings),
        user_of=tmm.person,
        roles_of=roles_of,
        reserved=[] if asks_here(settings) else [operating_system_user()],
    )
