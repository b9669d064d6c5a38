"""The audit log as files that prove themselves: every entry with all that is stored of its event, and a manifest.

An export is written entry by entry, so that its length costs no memory. The manifest beside it (its name with
`.manifest.json`) says the range, the chain's hashes at both ends, the file's sha256, and is signed.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from adapters.shared.json_text import json_text
from adapters.shared.privacy import as_the_user_has_it
from adapters.shared.showing.entry_documents import cell, cloud_event
from domain.audit.proving.proof import Signer, canonical
from domain.audit.read_models import AuditEntry
from domain.errors import InvalidInput
from domain.events import RecordedEvent

Entries = Iterable[tuple[AuditEntry, RecordedEvent]]

FORMATS = ("jsonl", "csv", "cloudevents")


class Exported(NamedTuple):
    """What was written: the file, its manifest's file, and what the manifest says."""

    file: Path
    manifest_file: Path
    manifest: dict[str, Any]


def export(entries: Entries, file: Path, form: str, *, before: str, signer: Signer) -> Exported:
    """Write entries that follow one another, the first of them after the hash `before`. Raises `InvalidInput`."""
    manifest_file = file.with_name(file.name + ".manifest.json")
    for taken in (file, manifest_file):
        if taken.exists():
            raise InvalidInput(f"{taken} is there already, and exports are never overwritten. Name another file.")
    with as_the_user_has_it(file, manifest_file):
        return _write(entries, file, manifest_file, form, before=before, signer=signer)


def _write(entries: Entries, file: Path, manifest_file: Path, form: str, *, before: str, signer: Signer) -> Exported:
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    counted = _Counted(entries)
    digest = hashlib.sha256()
    try:
        with unfinished.open("xb") as out:
            for line in _LINES[form](counted):
                digest.update(encoded := line.encode())
                out.write(encoded)
        manifest: dict[str, Any] = {
            "file": file.name,
            "format": form,
            "first": counted.first,
            "last": counted.last,
            "count": counted.count,
            "before": before,
            "first_hash": counted.first_hash,
            "last_hash": counted.last_hash,
            "sha256": digest.hexdigest(),
            "made_at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "key_id": signer.key_id,
        }
        manifest["signature"] = signer.sign(canonical(manifest))
        manifest_file.write_text(json.dumps(manifest, indent=1) + "\n")
        unfinished.rename(file)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written ({error.strerror}).") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return Exported(file, manifest_file, manifest)


class _Counted:
    """Passes entries on, and remembers what a manifest says of them."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self.count = self.first = self.last = 0
        self.first_hash = self.last_hash = ""

    def __iter__(self) -> Iterator[tuple[AuditEntry, RecordedEvent]]:
        for entry, event in self._entries:
            if not self.count:
                self.first, self.first_hash = entry.position, entry.hash
            self.count += 1
            self.last, self.last_hash = entry.position, entry.hash
            yield entry, event


def _stored(event: RecordedEvent) -> dict[str, Any]:
    """All that the chain's hash covers."""
    return {
        "originator_id": str(event.originator_id),
        "originator_version": event.originator_version,
        "topic": event.topic,
        "state": event.state.decode(),
        "recorded_at": event.recorded_at.isoformat(timespec="microseconds"),
    }


def _jsonl(entries: Entries) -> Iterator[str]:
    for entry, event in entries:
        yield json_text(entry.document() | {"event": _stored(event)}) + "\n"


def _csv(entries: Entries) -> Iterator[str]:
    head = None
    for entry, event in entries:
        row = entry.document() | {f"event_{name}": value for name, value in _stored(event).items()}
        if head is None:
            head = list(row)
            yield _csv_line(head)
        yield _csv_line([cell(value) for value in row.values()])


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _cloudevents(entries: Entries) -> Iterator[str]:
    comma = "[\n"
    for entry, event in entries:
        yield comma + json_text(cloud_event(entry) | {"event": _stored(event)})
        comma = ",\n"
    yield "[]\n" if comma == "[\n" else "\n]\n"


_LINES: dict[str, Callable[[Entries], Iterator[str]]] = {"jsonl": _jsonl, "csv": _csv, "cloudevents": _cloudevents}
