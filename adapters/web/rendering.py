"""Templates, and the words that they use for times, figures and errors."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from adapters.shared.showing.figures import duration, figure, option_value, size_of, typed_as
from adapters.shared.showing.remedies import with_remedies
from domain.errors import TrainingMethodError
from domain.printable import printable
from domain.secrets import shown_address, without_secrets

STATIC = Path(__file__).parent / "static"


def rendered(template: str, **shown: Any) -> str:
    """A template as HTML; every text in it is escaped unless it was made here."""
    return _environment().get_template(template).render(**shown)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": moment,
        "told": told,
        "figure": lambda value, name: figure(name, value),
        "duration": duration,
        "size": size_of,
        "value": option_value,
        "typed": typed_as,
        "shown": lambda text: printable(str(text), lines=True),
        "address": shown_address,
        "brief": brief,
    }
    environment.globals |= {"asset": asset}
    return environment


@cache
def asset(name: str) -> str:
    """The address of a file of ours; another one once its contents change, so that browsers may keep it for ever."""
    return f"/static/{name}?{hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]}"


def moment(when: datetime | None) -> Markup:
    """A time to the second, in UTC; a script makes the browser's local time of it, with its zone."""
    if when is None:
        return Markup("–")
    utc = when.astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(
        utc.isoformat(timespec="seconds"), utc.strftime("%Y-%m-%d %H:%M:%S")
    )


def brief(value: Any, at_most: int = 200) -> str:
    """A field's value on one line, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = printable(text)
    return text if len(text) <= at_most else text[:at_most] + "…"


_NAME = r"[a-z][a-z0-9-]{1,62}"
_ID = r"[0-9a-f-]{36}"
_PLACES: tuple[tuple[str, str, str], ...] = (
    (rf"tmm modify ({_NAME})", "/methods/{}/modify", "modify {}"),
    (rf"tmm show ({_NAME})(?: --history)?", "/methods/{}", "see {}"),
    (rf"tmm train ({_NAME})", "/methods/{}/train", "train with {}"),
    (rf"tmm (?:runs show|resume|rerun|cancel|ask|export) ({_ID})", "/runs/{}", "see the run"),
    (r"tmm audit why", "/audit/why", "ask why"),
    (r"tmm audit", "/audit", "the audit log"),
    (r"tmm runs", "/runs", "the runs"),
    (r"tmm licence (?:trust PUBLIC_KEY|install FILE|show|trust|install)", "/licences", "the licences"),
    (r"tmm list", "/", "the list of methods"),
    (r"(?<![\w/-])(custom0[12])(?![\w-])", "/methods/{}", "{}"),
)
_ANY_PLACE = re.compile("|".join(f"(?:{pattern})" for pattern, _, _ in _PLACES))


def told(words: object) -> Markup:
    """A sentence of the domain, whose ways out, told there as commands, are links here."""
    said = with_remedies(words) if isinstance(words, TrainingMethodError) else str(words)
    sentence = printable(str(without_secrets(said)), lines=True)
    parts, end = [], 0
    for found in _ANY_PLACE.finditer(sentence):
        parts += [escape(sentence[end : found.start()]), _link(found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(sentence[end:])])


def _link(command: str) -> Markup:
    for pattern, place, words in _PLACES:
        if match := re.fullmatch(pattern, command):
            named = match.groups() or ("",)
            return Markup('<a href="{}">{}</a>').format(place.format(*named), words.format(*named))
    return escape(command)


def addressed(path: str, given: Mapping[str, object]) -> str:
    """A path with the filters that are given, for a link."""
    query = urlencode({name: value for name, value in given.items() if value not in (None, "")})
    return f"{path}?{query}" if query else path
