"""What `tmm doctor` shows: every setting, and whether what the service needs is there and works."""

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from domain.audit.operations import KeyPurpose
from domain.catalogue.method_spec import Backend
from domain.errors import TrainingMethodError
from domain.secrets import shown_address
from domain.use_cases.operators.health import Check
from infra.explaining import shown
from infra.protection.confined_here import confinement_check
from infra.protection.openness import openings
from infra.serving.prefect_environment import asking, known_api_url, password_of
from infra.settings import Settings
from infra.upkeep.publishing import fix

if TYPE_CHECKING:
    from infra.wiring import Installation

LEAST_FREE_GB = 2
_PREFECT_ANSWERS_WITHIN_S = 3
_UNREADABLE_TOLD = 5


class Doctor:
    """Examines an installation, and puts right what can be."""

    def __init__(self, installation: "Installation") -> None:
        self._installation = installation

    def describe_settings(self) -> list[tuple[str, str, str]]:
        """Every setting: variable, present value (passwords hidden), what it is."""
        return describe_settings(self._installation.settings)

    def checks(self) -> list[Check]:
        """Everything that the service needs, looked at one after the other; nothing of it raises."""
        return checks(self._installation)

    def fix(self) -> list[str]:
        """Put right runs that are stuck, and what Prefect shows; a sentence about each. Raises `PrefectUnavailable`."""
        return fix(self._installation)


def describe_settings(settings: Settings) -> list[tuple[str, str, str]]:
    """Every setting: variable, present value (passwords hidden), what it is."""
    described = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        shown = ",".join(value) if isinstance(value, tuple) else shown_address(str(value))
        described.append((f"TMM_{name.upper()}", shown, field.description or ""))
    url = shown_address(known_api_url(settings) or "")
    return [*described, ("PREFECT_API_URL", url, "The Prefect server; empty until tmm up starts one here")]


def checks(installation: "Installation") -> list[Check]:
    """Everything that the service needs, looked at one after the other; nothing of it raises."""
    settings = installation.settings
    looked_at: list[tuple[str, Callable[[], Check]]] = [
        ("database", lambda: _database(installation)),
        ("log entries", lambda: _log_entries(installation)),
        ("Prefect", lambda: _prefect(settings)),
        *((f"backend {backend}", _looking_at_a_device(installation, backend)) for backend in settings.backends),
        ("licence", lambda: _licence(installation)),
        ("clock", lambda: _clock(installation)),
        ("keys", lambda: _keys(installation)),
        ("openness", lambda: _openness(settings)),
        ("disk space", lambda: _disk_space(settings)),
        ("code of methods", lambda: confinement_check(settings.home)),
        ("artifacts", lambda: _store("artifacts", settings, "artifacts")),
    ]
    if settings.shared_checkpoints:
        name = "shared checkpoints"
        looked_at.append((name, lambda: _store(name, settings, "shared_checkpoints")))
    return list(_each(installation, looked_at))


def _each(installation: "Installation", looked_at: list[tuple[str, Callable[[], Check]]]) -> Iterator[Check]:
    for name, look in looked_at:
        try:
            yield look()
        except Exception as error:  # a doctor who faints helps nobody
            ours = error if isinstance(error, TrainingMethodError) else installation.explain(error)
            words = str(ours or f"{type(error).__name__}: {error}")
            yield Check(name, ok=False, words=shown(words, installation.settings))


def _database(installation: "Installation") -> Check:
    behind = installation.log.views_behind()
    head = installation.log.catch_up()
    where = shown_address(installation.settings.database_url) or str(installation.settings.sqlite_file)
    caught_up = f"; the views were {behind} behind and have caught up" if behind else "; the views are up to date"
    return Check("database", ok=True, words=f"{where} holds {head.position} log entries{caught_up}")


def _log_entries(installation: "Installation") -> Check:
    unreadable = installation.auditing.unreadable(limit=_UNREADABLE_TOLD + 1)
    if not unreadable:
        return Check("log entries", ok=True, words="every event of the log can be read")
    told = [f"entry {entry.position}: {entry.sentence}" for entry in unreadable[:_UNREADABLE_TOLD]]
    more = ["and more: tmm audit --action unreadable"] if len(unreadable) > _UNREADABLE_TOLD else []
    # Of an event that belongs to no method or run nothing is missing but itself; and nothing in the log ever changes.
    ok = not any(entry.subject_name.startswith(("training-method.", "training-run.")) for entry in unreadable)
    words = "Everything else works around it. After an update that can read it: tmm rebuild"
    return Check("log entries", ok=ok, words=f"{'; '.join([*told, *more])}. {words}")


def _prefect(settings: Settings) -> Check:
    url = known_api_url(settings)
    if url is None:
        return Check(
            "Prefect", ok=False, words="No server is known here. Start one with: tmm up, or set PREFECT_API_URL"
        )
    there = shown_address(url)
    try:
        asked = asking(f"{url}/admin/version", password_of(settings, url))
        with urllib.request.urlopen(asked, timeout=_PREFECT_ANSWERS_WITHIN_S):
            return Check("Prefect", ok=True, words=f"{there} answers")
    except (OSError, ValueError, HTTPException) as error:
        why = shown(str(error), settings)
        words = f"{there} does not answer ({why}). Start one with: tmm up, or set PREFECT_API_URL"
        if isinstance(error, urllib.error.HTTPError) and error.code == 401:
            words = f"{there} wants its password. Set PREFECT_API_AUTH_STRING: `tmm env` prints it where the server is"
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


def _clock(installation: "Installation") -> Check:
    time = installation.clock.time()
    if time.problem:
        return Check("clock", ok=False, words=f"{time.problem}. See: tmm audit accept-clock --help")
    return Check("clock", ok=True, words=f"{time.now:%Y-%m-%d %H:%M} UTC, which no entry of the log is ahead of")


def _keys(installation: "Installation") -> Check:
    """Each key that can make somebody commercial, or name a person, and who trusted it."""
    told, settings = installation.auditing.keys_trusted(), installation.settings
    signing, acting = installation.licences.trusted_keys(), installation.acting_tokens.trusted_keys()
    trusted = [(KeyPurpose.LICENCE, key_id, "signs licences", settings.trust_store) for key_id in signing]
    trusted += [(KeyPurpose.ACTING, key_id, "says for whom programs act", settings.acting_keys) for key_id in acting]
    words, unknown = [], []
    for purpose, key_id, does, folder in trusted:
        if entry := told.get((purpose, key_id)):
            words.append(f"{key_id} {does}, trusted by {entry.actor} on {entry.occurred_at:%Y-%m-%d}")
        else:
            command = "tmm licence trust" if purpose is KeyPurpose.LICENCE else "tmm token trust"
            words.append(f"{key_id} {does}, and no entry of the log tells who trusted it")
            unknown.append(f"{command} {folder / key_id}.pem")
    advice = [f"If you trust them: {'; '.join(unknown)}. If not, delete these files"] if unknown else []
    return Check("keys", ok=not unknown, words=". ".join([*words, *advice]) or "No key is trusted")


def _openness(settings: Settings) -> Check:
    """What of all that rules stand on lies open to others: on a machine of one's own a remark, for a team a fault."""
    found = openings(settings, thoroughly=True)
    if not found:
        return Check("openness", ok=True, words="nothing that rules stand on can be read or changed by others")
    words = f"{len(found)} that rules stand on can be read or changed by others. {'; '.join(map(str, found))}"
    if settings.team:
        return Check("openness", ok=False, words=words)
    return Check("openness", ok=True, words=f"on a machine of your own a remark, for a team a fault: {words}")


def _disk_space(settings: Settings) -> Check:
    folder = _nearest_there(settings.home)
    free = shutil.disk_usage(folder).free / 1e9
    words = f"{free:.1f} GB free for {settings.home}"
    if free < LEAST_FREE_GB:
        advice = f"Trainings need {LEAST_FREE_GB} GB or more: make room, or set TMM_HOME to a larger disk"
        return Check("disk space", ok=False, words=f"{words}. {advice}")
    return Check("disk space", ok=True, words=words)


def _store(name: str, settings: Settings, setting: str) -> Check:
    address = getattr(settings, setting)
    there = shown_address(address)
    try:
        if "://" in address:
            _write_through_fsspec(address)
        else:
            folder = _nearest_there(Path(address))
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(f"no permission to write to {folder}")
    except Exception as error:  # every kind of storage has its own
        why, variable = shown(str(error), settings), f"TMM_{setting.upper()}"
        words = f"{there} cannot be written to ({why}). Make it writable, or set {variable} to another place"
        return Check(name, ok=False, words=words)
    return Check(name, ok=True, words=f"{there} can be written to")


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
