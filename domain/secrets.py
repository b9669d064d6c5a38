"""Secrets have no place in a log that is kept for ever: what looks like one is refused, or taken out."""

import re
from typing import Any

REMOVED = "[secret removed]"

_UNMISTAKABLE = [
    re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"),  # user:password@ in a URL
    re.compile(r"\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*"),  # a signed token, such as a licence
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
    re.compile(r"\b(hf|ghp|gho|glpat|github_pat|sk|xox[abp])[_-][A-Za-z0-9_-]{16,}"),  # tokens of well-known services
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
]
_LIKELY = [
    *_UNMISTAKABLE,
    re.compile(r"(?i)(?<=bearer )[\w.~+/-]{8,}=*"),
    re.compile(r"(?i)\b(?:password|passwd|secret|token|api[_-]?key|signature)=[^\s&;,'\"]+"),
]


def holds_secret(value: Any) -> bool:
    """Whether a text, or one anywhere in a structure, is unmistakably a password, token or private key."""
    match value:
        case str():
            return any(pattern.search(value) for pattern in _UNMISTAKABLE)
        case dict():
            return any(holds_secret(item) for item in value.values())
        case list() | tuple():
            return any(holds_secret(item) for item in value)
    return False


def without_secrets(value: Any) -> Any:
    """The same, with `REMOVED` in the place of whatever looks like a secret."""
    match value:
        case str():
            for pattern in _LIKELY:
                value = pattern.sub(REMOVED, value)
            return value
        case dict():
            return {name: without_secrets(item) for name, item in value.items()}
        case list() | tuple():
            return [without_secrets(item) for item in value]
    return value
