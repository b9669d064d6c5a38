"""Signed licences: Ed25519 tokens, checked offline against the public keys of a trust store.

Nothing here imports cryptography before a key or a token is really looked at.
"""

from adapters.licences.acting import ActingTokens
from adapters.licences.installed import InstalledLicences

__all__ = ["ActingTokens", "InstalledLicences"]
