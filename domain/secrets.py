"""Secrets have no place in a log that is kept for ever, nor on a screen: what looks like one is refused, or hidden.

Texts come from strangers, so everything here takes time in proportion to their length, whatever stands in them. A
pattern keeps what stands before the secret as its first group.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

REMOVED = "[secret removed]"
HIDDEN = "…"

_NAME = (
    r"(?:[\w-]{0,40}?(?:passw(?:or)?d|passphrase|pwd|secret|api[_-]?key|access[_-]?key(?:[_-]?id)?|signature|credential)"
    r"|(?:(?:access|auth|session|security|refresh|api|x-amz-security)[_-]?)?token)"
)
# Texts until they are first used, for most commands never look for a secret: `re` remembers what it compiled.
_UNMISTAKABLE = [
    # A signed token, such as a licence. The look ahead is had once for each of its parts.
    r"(?<![\w-])(?=[\w-]*+\.[\w-]{6,}+\.)([\w-]*?)\beyJ[\w-]{6,}+\.[\w-]{6,}+\.[\w-]*+",
    r"(?s)()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    # Tokens of well-known services.
    r"()\b(?:hf|ghp|gho|glpat|github_pat|sk|xox[abp])[_-][A-Za-z0-9_-]{16,}+",
    r"()\bAKIA[0-9A-Z]{16}\b",
    # In the query of an address.
    rf"(?i)((?<=[?&#])(?:{_NAME}|sig(?==[^&]{{16}}))=)(?!\[secret)[^\s&#\"'<>`]++",
]
_LIKELY = [
    *_UNMISTAKABLE,
    r"(?i)()(?<=bearer )[\w.~+/-]{8,}+=*+",
    rf"(?is)(\b{_NAME} ?= ?)(?!\[secret)(?:'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\"|[^\s&;,'\"]++)",
    # What readers of addresses say of a password that they take for something else.
    r"(?i)(\bport: ')[^'\n]++",
    r"(?i)(\binteger value (?:as )?[\"'])[^\"'\n]++",
    r"(?i)(\bpercent-encoded token: \")[^\"\n]++",
    r"(?i)(\b(?:host(?: name)?|parameter:) [\"'])[^\"'\s]{1,500}@(?=[^\"'\s@]{0,500}[\"'])",
]

_WORD = r"[^\s\"'<>`]++"
_NEXT_ADDRESS = r"(?:(?<=[,;|])|(?<=::))(?=[A-Za-z][\w+.-]{0,30}://)"
_SCHEME = r"[A-Za-z][\w+.-]{0,30}\Z"
_PORT_AND_MORE = r"\d*+[/?#]"
_PLAIN_NAME = r"[\w.-]{1,63}\Z"
_ENDS_A_HOST = r"[/?#]"
_OF_THIS_MACHINE = ("file", "local", "memory")
_NAMES_A_USER = ("postgres", "postgresql", "postgresql+asyncpg", "sftp", "ssh")


def holds_secret(value: Any) -> bool:
    """Whether a text, or one anywhere in a structure, is unmistakably a password, token or private key."""
    match value:
        case str():
            if any(re.search(pattern, value) for pattern in _UNMISTAKABLE):
                return True
            return any(map(_holds_password, _words(value)))
        case dict():
            return any(holds_secret(item) for item in value.values())
        case list() | tuple():
            return any(holds_secret(item) for item in value)
    return False


def without_secrets(value: Any, *, of: Iterable[str] = ()) -> Any:
    """The same, with `REMOVED` or `HIDDEN` in the place of whatever looks like a secret.

    `of` are addresses whose secrets are known: of these, parts and other spellings are found as well.
    """
    match value:
        case str():
            for address in of:
                value = _without_parts_of(address, value)
            if "://" in value:
                value = re.sub(_WORD, lambda word: "".join(map(_without_user, _addresses(word[0]))), value)
            for pattern in _LIKELY:
                value = re.sub(pattern, rf"\1{REMOVED}", value)
            return value
        case dict():
            return {name: without_secrets(item, of=of) for name, item in value.items()}
        case list() | tuple():
            return [without_secrets(item, of=of) for item in value]
    return value


def shown_address(address: str) -> str:
    """An address as it may be shown, logged and kept: without password, and without its query, which may hold one.

    Whatever stands before the last @ counts as credentials where a colon stands there too, for a password may hold
    any character. A second time nothing more is hidden.
    """
    if "://" not in address:
        return str(without_secrets(address))
    return "".join(_without_query(_without_user(part)) for part in _addresses(address))


def _without_user(address: str) -> str:
    before, there, rest = address.partition("://")
    scheme = _scheme_of(before)
    user, at, host = rest.rpartition("@")
    if ":" not in user and (ends := re.search(_ENDS_A_HOST, user)):  # the last @ belongs to a path
        user, at, host = rest[: ends.start()].rpartition("@")
        host += rest[ends.start() :]
    if not there or not at or scheme in _OF_THIS_MACHINE:
        return address
    name, colon, _ = user.partition(":")
    if scheme not in _NAMES_A_USER or not re.match(_PLAIN_NAME, name):
        return f"{before}://{HIDDEN}@{host}"
    return f"{before}://{name}:{HIDDEN}@{host}" if colon else address


def _without_query(address: str) -> str:
    before, there, rest = address.partition("://")
    if not there or _scheme_of(before) in _OF_THIS_MACHINE:
        return address
    for mark in "?#":
        place, found, query = rest.partition(mark)
        if found and "=" in query:
            return f"{before}://{place}{mark}{HIDDEN}"
    return address


def _holds_password(word: str) -> bool:
    """Whether user and password stand before a host; not where it may be host, port and an @ in the path."""
    for address in _addresses(word):
        user, at, _ = address.partition("://")[2].rpartition("@")
        name, _, password = user.partition(":")
        if at and password and not re.search(_ENDS_A_HOST, name) and not re.match(_PORT_AND_MORE, password):
            return True
    return False


def _without_parts_of(address: str, text: str) -> str:
    if (shown := shown_address(address)) == address:
        return text
    text = text.replace(address, shown)
    for part in sorted(_secret_parts_of(address), key=len, reverse=True):
        if part in text and part not in shown:
            text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", HIDDEN, text)
    return text


def _secret_parts_of(address: str) -> set[str]:
    rest = address.partition("://")[2]
    user, _, host = rest.rpartition("@")
    password = user.partition(":")[2] or user
    values = [value for pair in re.split(r"[?&#]", host)[1:] if (value := pair.partition("=")[2])]
    whole = {spelling for secret in (user, password, *values) for spelling in (secret, unquote(secret))}
    # Who takes a part of a password for a host, a port or a path complains of that part alone.
    pieces = {piece for secret in whole for piece in re.split(r"[/?#@:%\s]", secret)}
    return {part for part in whole | pieces if len(part) > 2}


def _words(text: str) -> Iterator[str]:
    return (word[0] for word in re.finditer(_WORD, text) if "://" in word[0]) if "://" in text else iter(())


def _addresses(word: str) -> list[str]:
    return re.split(_NEXT_ADDRESS, word)


def _scheme_of(before: str) -> str:
    found = re.search(_SCHEME, before[-32:])
    return found[0].lower() if found else ""
