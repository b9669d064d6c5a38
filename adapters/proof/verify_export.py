#!/usr/bin/env python3
"""Verifies an export of the audit log, far from where it was made: this file is all it takes, with `cryptography`.

    python verify_export.py EXPORT --public-key public.pem [--checkpoint checkpoint-00000007.json]

An export is a file (JSON Lines, CSV or a CloudEvents batch) and its manifest, EXPORT.manifest.json. It is true when

1. the manifest is signed by this key, and the file is the one it speaks of, to the byte (sha256);
2. the entries are those from `first` to `last`, each once, in order;
3. the chain holds: each entry's hash is the sha256 over the hash before it and everything that is stored of its event
   (stream, version, topic, state, moment of recording), each part led by its length;
4. what an entry says of its event (who, when, under which licence) is what the event says;
5. the checkpoint, if one is given, is signed by this key and vouches for the very hash that the chain has there.

Exit code 0: true; 1: false, with the first thing that is wrong; 2: something could not be read.
"""

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key


class FalseExport(Exception):
    """Something about the export is not true; the message says what, and at which entry."""


def verify(export: Path, public_key: Path, checkpoint: Path | None = None) -> str:
    """One sentence about a true export. Raises `FalseExport`."""
    key = load_pem_public_key(public_key.read_bytes())
    if not isinstance(key, Ed25519PublicKey) or is_of_small_order(key.public_bytes_raw()):
        raise ValueError(f"{public_key} is no Ed25519 public key, or one for which anybody can sign")
    manifest = signed_document(export.with_name(export.name + ".manifest.json"), key, "manifest")
    if sha256_of(export) != manifest["sha256"]:
        # What follows names the entry, if an entry is what was changed.
        for _ in checked_entries(export, manifest):
            pass
        raise FalseExport("the file is not the one that the manifest speaks of")
    vouched = signed_document(checkpoint, key, "checkpoint") if checkpoint else None
    if vouched and not manifest["first"] - 1 <= vouched["position"] <= manifest["last"]:
        raise FalseExport(f"the checkpoint is about entry {vouched['position']}, which this export does not have")
    seen = manifest["before"]
    if vouched and vouched["position"] == manifest["first"] - 1 and vouched["hash"] != seen:
        raise FalseExport(f"the checkpoint vouches for another log before entry {manifest['first']}")
    for position, seen in checked_entries(export, manifest):
        if vouched and vouched["position"] == position and vouched["hash"] != seen:
            raise FalseExport(f"entry {position}: the checkpoint vouches for another log up to here")
    if seen != manifest["last_hash"]:
        raise FalseExport(f"entry {manifest['last']}: the chain does not end where the manifest says")
    proof = (
        f"as checkpoint {vouched['number']} vouches" if vouched else "as its manifest vouches; no checkpoint was given"
    )
    return f"true: {manifest['count']} entries, {manifest['first']} to {manifest['last']}, {proof}"


def checked_entries(export: Path, manifest: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Every entry's position and hash, in order, after it was checked."""
    previous, expected = manifest["before"], manifest["first"]
    for entry, event in read(export, manifest["format"]):
        if expected > manifest["last"]:
            raise FalseExport(f"entry {entry['position']}: there are more entries than the manifest says")
        if int(entry["position"]) != expected:
            raise FalseExport(f"entry {expected} is missing, or stands elsewhere: {entry['position']} is in its place")
        previous = link(previous, event)
        if entry["hash"] != previous:
            raise FalseExport(f"entry {expected} was changed: its hash does not follow from its event")
        check_facts(entry, event)
        yield expected, previous
        expected += 1
    if expected != manifest["last"] + 1:
        raise FalseExport(f"entry {expected} is missing: the file ends before entry {manifest['last']}")


def link(previous: str, event: dict[str, Any]) -> str:
    """The next hash of the chain."""
    digest = hashlib.sha256(bytes.fromhex(previous))
    for name in ("originator_id", "originator_version", "topic", "state", "recorded_at"):
        part = str(event[name]).encode()
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def check_facts(entry: dict[str, Any], event: dict[str, Any]) -> None:
    """An entry's facts are copies of its event's."""
    state = json.loads(event["state"])
    entitlement = state["by"]["entitlement"]
    facts = {
        "actor": state["by"]["name"],
        "edition": entitlement["edition"],
        "licence_id": entitlement["licence_id"],
        "key_id": entitlement["key_id"],
        "origin": state["by"]["origin"],
        "flow_run_id": state["by"]["flow_run_id"],
        "command_id": state["command_id"],
        "subject_id": event["originator_id"],
        "occurred_at": state["timestamp"].replace("Z", "+00:00"),
        "recorded_at": event["recorded_at"],
        "outcome": "refused" if event["topic"] == "action.refused" else "done",
    }
    for name, fact in facts.items():
        said = entry[name] or ""
        if said != (fact or "") and not (name == "occurred_at" and same_moment(said, fact)):
            raise FalseExport(f"entry {entry['position']}: {name} says {said!r}, and the event says {fact!r}")


def same_moment(one: str, other: str) -> bool:
    """Whether two ISO times differ in nothing but whether they write .000000."""
    return one.replace(".000000", "") == other.replace(".000000", "")


def read(export: Path, form: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each entry and what is stored of its event, line by line."""
    with export.open(encoding="utf-8", newline="") as file:
        if form == "csv":
            csv.field_size_limit(2**31 - 1)
            for row in csv.DictReader(file):
                entry = {name: cell[1:] if cell.startswith("'") else cell for name, cell in row.items()}
                yield entry, {name[6:]: cell for name, cell in entry.items() if name.startswith("event_")}
            return
        for line in file:
            text = line.strip().removesuffix(",")
            if text in ("", "[", "]", "[]"):
                continue
            document = json.loads(text)
            event = document.pop("event")
            if form == "cloudevents":
                check_envelope(document)
                document = document["data"]
            yield document, event


def check_envelope(envelope: dict[str, Any]) -> None:
    data = envelope["data"]
    told = {"id": str(data["position"]), "subject": data["subject_name"], "time": data["occurred_at"]}
    for name, value in told.items():
        if envelope[name] != value:
            raise FalseExport(f"entry {data['position']}: the event's {name} is not that of its data")


def signed_document(file: Path, key: Any, what: str) -> dict[str, Any]:
    """A JSON document whose signature by this key holds."""
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    signature = document.pop("signature")
    message = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    try:
        key.verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        raise FalseExport(f"the {what} {file.name} is not signed by this key, or was changed") from None
    return document


def is_of_small_order(public_key: bytes) -> bool:
    """Whether the point becomes the identity when its height is doubled three times; here too, as this file is all."""
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime)
    y = (int.from_bytes(public_key, "little") & ~(1 << 255)) % prime
    for _ in range(3):
        x2 = (y * y - 1) * pow(d * y * y + 1, prime - 2, prime)
        y = (y * y + x2) * pow(2 - y * y + x2, prime - 2, prime) % prime
    return y == 1


def sha256_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while part := opened.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def shown(text: str) -> str:
    """Text on one line that acts on no terminal: what stands in the files may be anybody's."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify an export of the audit log.")
    parser.add_argument("export", type=Path, help="the exported file; its manifest lies beside it")
    parser.add_argument("--public-key", type=Path, required=True, help="the operator's public key, a PEM file")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint that the export must agree with")
    arguments = parser.parse_args()
    try:
        sys.stdout.write(shown(verify(arguments.export, arguments.public_key, arguments.checkpoint)) + "\n")
    except FalseExport as false:
        sys.stderr.write(f"FALSE: {shown(str(false))}\n")
        return 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"cannot be verified: {type(error).__name__}: {shown(str(error))}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
