"""The acts on licences and the keys that they are checked with."""

from domain.licence import Licence, LicenceStanding
from domain.use_cases.act import Act
from domain.values import Value


class Licences(Value):
    """The licences that are installed, how each stands for the person, and the keys that are trusted."""

    standings: tuple[LicenceStanding, ...]
    trusted_keys: tuple[str, ...]


class ListLicences(Act[Licences]):
    """The installed licences, and the keys that are trusted."""


class InstallLicence(Act[Licence]):
    """Take in a licence, given as its issuer's text. Raises `InvalidLicence`."""

    text: str


class RemoveLicence(Act[LicenceStanding]):
    """Take an installed licence out, by its id. Raises `InvalidLicence`."""

    name: str


class TrustKey(Act[str]):
    """Trust the licences that are signed with a public key, given as PEM; its key id. Raises `InvalidLicence`."""

    text: str
