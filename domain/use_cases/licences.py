"""The acts on licences, on the keys that they are checked with, and on what a program acts for a person with."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol
from uuid import UUID

from domain.audit.operating import Operating
from domain.audit.operations import KeyPurpose
from domain.errors import Unreachable
from domain.people.licences import Licence, LicenceStanding
from domain.people.roles import Role
from domain.people.users import User
from domain.use_cases.act import Act, Needs
from domain.values import Value

GIVEN = "that was given"


class Licences(Value):
    """The licences that are installed, how each stands for the person, and the keys that are trusted.

    `problem` says why they could not be looked at.
    """

    standings: tuple[LicenceStanding, ...]
    trusted_keys: tuple[str, ...]
    problem: str | None = None


class Installed(Value):
    """A licence that was taken in. `remark` says what lags behind: the audit log, where it cannot be reached."""

    licence: Licence
    remark: str | None = None


class Removed(Value):
    """A licence that was taken out. `remark` says what lags behind: the audit log, where it cannot be reached."""

    standing: LicenceStanding
    remark: str | None = None


class Trusted(Value):
    """A key that is trusted from now on, and its file: it is trusted no more when that is deleted.

    `remark` says what lags behind: the audit log, where it cannot be reached.
    """

    key_id: str
    file: Path
    remark: str | None = None


class ListLicences(Act[Licences]):
    """The installed licences, and the keys that are trusted."""


class InstallLicence(Act[Installed]):
    """Take in a licence, given as its issuer's text; `called` names it in errors. Raises `InvalidLicence`."""

    needs: ClassVar = Needs(Role.OPERATOR, "install a licence", "install-licence", "licence")

    text: str
    called: str = GIVEN


class RemoveLicence(Act[Removed]):
    """Take an installed licence out, by its id or its file's name. Raises `InvalidLicence`."""

    needs: ClassVar = Needs(Role.OPERATOR, "remove a licence", "remove-licence", "licence")

    name: str
    reason: str = "Removed."


class TrustKey(Act[Trusted]):
    """Trust what is signed with a public key, given as PEM; `called` names it in errors. Raises `InvalidLicence`."""

    needs: ClassVar = Needs(Role.OPERATOR, "trust a key", "trust-key", "key")

    text: str
    called: str = GIVEN
    purpose: KeyPurpose = KeyPurpose.LICENCE


class MakeKeys(Act[str]):
    """Make a key pair as `private.pem` and `public.pem` in a folder; its key id. Raises `InvalidLicence`."""

    folder: Path


class IssueLicence(Act[Licence]):
    """Write a licence that holds from now on for some days, signed with a private key. Raises `InvalidLicence`."""

    key: Path
    customer: str
    users: tuple[str, ...]
    days: int
    out: Path


class IssueToken(Act[str]):
    """A token with which a program may do one thing, with exactly these parameters, for one person.

    `action` is train, add or delete. Raises what makes the parameters impossible.
    """

    key: Path
    person: str
    action: str
    parameters: Mapping[str, Any]
    minutes: int


class TrustStore(Protocol):
    """A folder of public keys that are trusted. Every method raises `InvalidLicence`."""

    def trust(self, content: bytes, *, called: str) -> str:
        """Take a public key in, given as PEM; its key id."""
        ...

    def file_of(self, key_id: str) -> Path:
        """The file of a key that is trusted."""
        ...


class InstalledLicences(TrustStore, Protocol):
    """Where licences come, go and are looked at. Every method raises `InvalidLicence`, and then nothing was changed."""

    def standings(self, user_name: str) -> Sequence[LicenceStanding]:
        """Every installed file, by name, and how it stands for a user at this moment. Raises `OSError`."""
        ...

    def trusted_keys(self) -> Sequence[str]:
        """The ids of the keys that are trusted. Raises `OSError`."""
        ...

    def install(self, content: bytes, *, called: str) -> Licence:
        """Take a licence in whose signature holds and whose time is not over."""
        ...

    def remove(self, name: str) -> LicenceStanding:
        """Take an installed licence out, by its id or its file's name; what was removed."""
        ...

    def generate_pair(self, folder: Path) -> str:
        """An issuer's key pair as `private.pem` and `public.pem`; its key id."""
        ...

    def issue(self, key: Path, *, customer: str, users: Sequence[str], days: int, out: Path) -> Licence:
        """Write a licence that holds from now on for some days."""
        ...


class IssuesTokens(Protocol):
    """Issues tokens for programs that act for persons."""

    def __call__(self, key: Path, *, person: str, action: str, given: Mapping[str, Any], minutes: int) -> str: ...


class Records(Protocol):
    """Lets something be recorded in the log, which is opened then: licences also come while it is away."""

    def __call__(self, record: Callable[[Operating], None]) -> None:
        """Raises `Unreachable`."""
        ...


class Licensing:
    """Does these acts."""

    def __init__(
        self,
        licences: InstalledLicences,
        acting_keys: TrustStore,
        *,
        records: Records,
        issue_token: IssuesTokens,
    ) -> None:
        self._licences = licences
        self._acting_keys = acting_keys
        self._records = records
        self._issue_token = issue_token

    def all(self, _: ListLicences, by: User, __: UUID | None = None) -> Licences:
        """The installed licences, and the keys that are trusted."""
        try:
            standings = tuple(self._licences.standings(by.name))
            return Licences(standings=standings, trusted_keys=tuple(self._licences.trusted_keys()))
        except OSError as error:
            words = f"{error.filename or 'Something there'} cannot be read: {(error.strerror or str(error)).lower()}."
            return Licences(standings=(), trusted_keys=(), problem=words)

    def install(self, act: InstallLicence, by: User, command_id: UUID | None = None) -> Installed:
        """Take in a licence. One that does not hold is refused; one whose time is still to come is not."""
        licence = self._licences.install(act.text.encode(), called=act.called)
        remark = self._recorded(
            "The licence is installed",
            lambda operating: operating.licence_installed(
                licence.licence_id,
                key_id=licence.key_id,
                customer=licence.customer,
                users=licence.users,
                edition=licence.edition,
                not_before=licence.not_before,
                expires=licence.expires,
                by=by,
                command_id=command_id,
            ),
        )
        return Installed(licence=licence, remark=remark)

    def remove(self, act: RemoveLicence, by: User, command_id: UUID | None = None) -> Removed:
        """Take an installed licence out. What was done under it stays in the audit log."""
        removed = self._licences.remove(act.name)
        licence_id = removed.licence.licence_id if removed.licence else removed.file
        remark = self._recorded(
            "The licence is removed",
            lambda operating: operating.licence_removed(licence_id, reason=act.reason, by=by, command_id=command_id),
        )
        return Removed(standing=removed, remark=remark)

    def trust(self, act: TrustKey, by: User, command_id: UUID | None = None) -> Trusted:
        """Trust a public key, for licences or for programs that act for persons."""
        store = self._licences if act.purpose is KeyPurpose.LICENCE else self._acting_keys
        key_id = store.trust(act.text.encode(), called=act.called)
        remark = self._recorded(
            "The key is trusted",
            lambda operating: operating.key_trusted(key_id, purpose=act.purpose, by=by, command_id=command_id),
        )
        return Trusted(key_id=key_id, file=store.file_of(key_id), remark=remark)

    def make_keys(self, act: MakeKeys, _: User, __: UUID | None = None) -> str:
        """Make a key pair; its key id."""
        return self._licences.generate_pair(act.folder)

    def issue(self, act: IssueLicence, _: User, __: UUID | None = None) -> Licence:
        """Sign a licence for a customer and the users it covers."""
        return self._licences.issue(act.key, customer=act.customer, users=act.users, days=act.days, out=act.out)

    def token(self, act: IssueToken, _: User, __: UUID | None = None) -> str:
        """Sign a token for a program."""
        given, minutes = act.parameters, act.minutes
        return self._issue_token(act.key, person=act.person, action=act.action, given=given, minutes=minutes)

    def _recorded(self, done: str, record: Callable[[Operating], None]) -> str | None:
        """What to tell where the log cannot be told of what is done already."""
        try:
            self._records(record)
        except Unreachable as error:
            return f"{done}, and the audit log was not told. {error}"
        return None
