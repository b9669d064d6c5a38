"""What `tmm doctor` shows: every setting, and whether what the service needs is there and works."""

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from adapters.cli.installation import Check
from domain.errors import TrainingMethodError
from domain.method_spec import Backend
from infra.custom.confined_here import confinement_check
from infra.prefect_environment import asking, known_api_url
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.wiring import Installation

LEAST_FREE_GB = 2
_PREFECT_ANSWERS_WITHIN_S = 3


def describe_settings(settings: Settings) -> list[tuple[str, str, str]]:
    """Every setting: variable, present value (passwords hidden), what it is."""
    described = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        shown = ",".join(value) if isinstance(value, tuple) else without_password(str(value))
        described.append((f"TMM_{name.upper()}", shown, field.description or ""))
    url = without_password(known_api_url(settings) or "")
    return [*described, ("PREFECT_API_URL", url, "The Prefect server; empty until tmm up starts one here")]


def without_password(url: str) -> str:
    """A URL as it may be shown: what stands where a password stands, in its user part or its query, is hidden."""
    try:
        parts = urlsplit(url)
        if not parts.scheme:
            return url
        user, at, host = parts.netloc.rpartition("@")
        name, colon, _ = user.partition(":")
        query = "…" if parts.query else ""
        return urlunsplit(parts._replace(netloc=name + (":…" if colon else "") + at + host, query=query))
    except ValueError:
        return "…"


def checks(installation: "Installation") -> list[Check]:
    """Everything that the service needs, looked at one after the other; nothing of it raises."""
    settings = installation.settings
    looked_at: list[tuple[str, Callable[[], Check]]] = [
        ("database", lambda: _database(installation)),
        ("Prefect", lambda: _prefect(settings)),
        *((f"backend {backend}", _looking_at_a_device(installation, backend)) for backend in settings.backends),
        ("licence", lambda: _licence(installation)),
        ("disk space", lambda: _disk_space(settings)),
        ("code of methods", lambda: confinement_check(settings.home)),
        ("artifacts", lambda: _store("artifacts", settings.artifacts, "TMM_ARTIFACTS")),
    ]
    if shared := settings.shared_checkpoints:
        name, setting = "shared checkpoints", "TMM_SHARED_CHECKPOINTS"
        looked_at.append((name, lambda: _store(name, shared, setting)))
    return list(_each(installation, looked_at))


def _each(installation: "Installation", looked_at: list[tuple[str, Callable[[], Check]]]) -> Iterator[Check]:
    for name, look in looked_at:
        try:
            yield look()
        except Exception as error:  # a doctor who faints helps nobody
            ours = error if isinstance(error, TrainingMethodError) else installation.explain(error)
            yield Check(name, ok=False, words=str(ours or f"{type(error).__name__}: {error}"))


def _database(installation: "Installation") -> Check:
    behind = installation.service.views_behind()
    head = installation.service.catch_up()
    where = without_password(installation.settings.database_url) or str(installation.settings.sqlite_file)
    caught_up = f"; the views were {behind} behind and have caught up" if behind else "; the views are up to date"
    return Check("database", ok=True, words=f"{where} holds {head.position} log entries{caught_up}")


def _prefect(settings: Settings) -> Check:
    url = known_api_url(settings)
    if url is None:
        return Check(
            "Prefect", ok=False, words="No server is known here. Start one with: tmm up, or set PREFECT_API_URL"
        )
    shown = without_password(url)
    try:
        with urllib.request.urlopen(asking(f"{url}/admin/version"), timeout=_PREFECT_ANSWERS_WITHIN_S):
            return Check("Prefect", ok=True, words=f"{shown} answers")
    except (urllib.error.URLError, OSError, ValueError) as error:
        words = f"{shown} does not answer ({error}). Start one with: tmm up, or set PREFECT_API_URL"
        if isinstance(error, urllib.error.HTTPError) and error.code == 401:
            words = f"{shown} wants its password. Set PREFECT_API_AUTH_STRING"
        return Check("Prefect", ok=False, words=words)


def _looking_at_a_device(installation: "Installation", backend: Backend) -> Callable[[], Check]:
    return lambda: Check(f"backend {backend}", ok=True, words=installation.device(backend).description)


def _licence(installation: "Installation") -> Check:
    user = installation.user()
    words = f"{user.name} is a {user.entitlement.edition} user: {user.entitlement.because}"
    without_any = not installation.licences.standings(user.name)
    if user.is_commercial or without_any:
        return Check("licence", ok=True, words=words)
    return Check("licence", ok=False, words=f"{words}. See: tmm licence show")


def _disk_space(settings: Settings) -> Check:
    folder = _nearest_there(settings.home)
    free = shutil.disk_usage(folder).free / 1e9
    words = f"{free:.1f} GB free for {settings.home}"
    if free < LEAST_FREE_GB:
        advice = f"Trainings need {LEAST_FREE_GB} GB or more: make room, or set TMM_HOME to a larger disk"
        return Check("disk space", ok=False, words=f"{words}. {advice}")
    return Check("disk space", ok=True, words=words)


def _store(name: str, address: str, setting: str) -> Check:
    shown = without_password(address)
    try:
        if "://" in address:
            _write_through_fsspec(address)
        else:
            folder = _nearest_there(Path(address))
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(f"no permission to write to {folder}")
    except Exception as error:  # every kind of storage has its own
        words = f"{shown} cannot be written to ({error}). Make it writable, or set {setting} to another place"
        return Check(name, ok=False, words=words)
    return Check(name, ok=True, words=f"{shown} can be written to")


def _write_through_fsspec(address: str) -> None:
    import fsspec

    filesystem, root = fsspec.core.url_to_fs(address)
    probe = f"{root.rstrip('/')}/.tmm-doctor-{os.getpid()}"
    filesystem.makedirs(root, exist_ok=True)
    filesystem.pipe_file(probe, b"tmm doctor was here")
    filesystem.rm_file(probe)


def _nearest_there(path: Path) -> Path:
    """The path itself or the nearest folder above it that exists: what is not there yet will be made in it."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
