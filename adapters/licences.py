"""Signed licences: what a user is entitled to, and why not."""

from pathlib import Path

from domain.users import Entitlement


class InstalledLicences:
    """The licences of this installation, checked against the public keys of its trust store."""

    def __init__(self, folder: Path, trust_store: Path) -> None:
        self._folder = folder
        self._trust_store = trust_store

    def entitlement_of(self, user_name: str) -> Entitlement:
        """What a user may do now. Whatever does not hold makes a noncommercial user, with the reason."""
        return Entitlement.noncommercial("no licence is installed")
