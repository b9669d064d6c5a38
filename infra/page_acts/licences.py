"""Acts on licences, which come as texts here and lie as files there."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from domain.audit.operations import KeyPurpose
from domain.errors import InvalidLicence
from domain.people.licences import Licence, LicenceStanding
from domain.people.users import User
from domain.use_cases.licences import InstallLicence, Licences, ListLicences, RemoveLicence, TrustKey
from infra.page_acts.rights import must_be_operator
from infra.wiring import Installation


def list_licences(tmm: Installation, _: ListLicences, by: User) -> Licences:
    try:
        standings = tuple(tmm.licences.standings(by.name))
    except OSError:
        standings = ()
    try:
        keys = tuple(tmm.licences.trusted_keys())
    except OSError:
        keys = ()
    return Licences(standings=standings, trusted_keys=keys)


def install(tmm: Installation, act: InstallLicence, by: User) -> Licence:
    must_be_operator(tmm, by, action="install-licence", name="licence", to="install a licence")
    with _as_file(act.text, "pasted.licence") as file:
        licence = tmm.licences.install(file)
    tmm.service.record_licence_installed(
        licence.licence_id,
        key_id=licence.key_id,
        customer=licence.customer,
        users=licence.users,
        edition=licence.edition,
        not_before=licence.not_before,
        expires=licence.expires,
        by=by,
    )
    return licence


def remove(tmm: Installation, act: RemoveLicence, by: User) -> LicenceStanding:
    must_be_operator(tmm, by, action="remove-licence", name=act.name, to="remove a licence")
    removed = tmm.licences.remove(act.name)
    licence_id = removed.licence.licence_id if removed.licence else removed.file
    tmm.service.record_licence_removed(licence_id, reason="Removed at the page.", by=by)
    return removed


def trust(tmm: Installation, act: TrustKey, by: User) -> str:
    must_be_operator(tmm, by, action="trust-key", name="key", to="trust a key")
    with _as_file(act.text, "public.pem") as file:
        key_id = tmm.licences.trust(file)
    tmm.service.record_key_trusted(key_id, purpose=KeyPurpose.LICENCE, by=by)
    return key_id


@contextmanager
def _as_file(text: str, name: str) -> Iterator[Path]:
    """The text as a file for a moment; whoever gave a text is told of no file."""
    with tempfile.TemporaryDirectory(prefix="tmm-pasted-") as folder:
        file = Path(folder) / name
        file.write_text(text.strip() + "\n", encoding="utf-8")
        try:
            yield file
        except InvalidLicence as error:
            raise InvalidLicence(str(error).replace(str(file), "that was given")) from None


HANDLERS: dict[type, Callable[..., Any]] = {
    ListLicences: list_licences,
    InstallLicence: install,
    RemoveLicence: remove,
    TrustKey: trust,
}
