"""A true export is accepted by the stand-alone verifier, and every false one refused."""

import csv
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import pytest

from adapters.proof import verify_export
from adapters.proof.exports import export
from adapters.proof.signing import FolderSigner
from adapters.store.tables import create_tables
from domain.audit.proving.proof import canonical
from domain.errors import CommercialUsersOnly, InvalidInput
from infra.settings import Settings
from infra.wiring import Installation
from tests.support.people import ALICE, BOB, method

FORMATS = ["jsonl", "csv", "cloudevents"]


@dataclass(frozen=True)
class Export:
    """An export as an auditor gets it: the file with its manifest, a checkpoint and the public key."""

    file: Path
    manifest: Path
    checkpoint: Path
    public_key: Path

    def verified(self) -> str:
        return verify_export.verify(self.file, self.public_key, self.checkpoint)

    def lines(self) -> list[str]:
        return self.file.read_text().splitlines(keepends=True)

    def write(self, lines: list[str]) -> None:
        self.file.write_text("".join(lines))

    def sign_anew(self, signer: FolderSigner, **facts: object) -> None:
        """A manifest that fits the file, by somebody with a key of their own."""
        document = json.loads(self.manifest.read_text()) | {"sha256": verify_export.sha256_of(self.file)} | facts
        del document["signature"]
        document["key_id"] = signer.key_id
        document["signature"] = signer.sign(canonical(document))
        self.manifest.write_text(json.dumps(document))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings(home=tmp_path / "home", backends="cuda")) as site:
        create_tables(site.settings)
        for number in range(4):
            site.catalogue.add(method(f"sft-{number}", display_name=f"=SUM({number}) ÄÖ 微调"), by=ALICE)
        with pytest.raises(CommercialUsersOnly):
            site.catalogue.delete("sft-1", by=BOB)
        site.catalogue.delete("sft-2", by=ALICE)
        yield site


def exported(site: Installation, form: str = "jsonl", **bounds: int) -> Export:
    file = site.settings.home / f"log.{form}"
    made = site.proof.export(file, form, by=ALICE, **bounds)
    checkpoint = site.settings.checkpoints / "checkpoint-00000001.json"
    return Export(made.file, made.manifest_file, checkpoint, site.settings.checkpoint_key / "public.pem")


@pytest.mark.parametrize("form", FORMATS)
def test_a_true_export_is_accepted_with_nothing_but_its_files(site: Installation, form: str, tmp_path: Path) -> None:
    export = exported(site, form)
    far_away = tmp_path / "auditor"
    far_away.mkdir()
    for file in (export.file, export.manifest, export.checkpoint, export.public_key, Path(verify_export.__file__)):
        (far_away / file.name).write_bytes(file.read_bytes())
    what = [export.file.name, "--public-key", "public.pem", "--checkpoint", export.checkpoint.name]
    done = subprocess.run(
        [sys.executable, "-I", "verify_export.py", *what],
        cwd=far_away,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("true: 6 entries, 1 to 6, as checkpoint 1 vouches")


@pytest.mark.parametrize("form", FORMATS)
def test_a_part_of_the_log_is_exported_and_verified(site: Installation, form: str) -> None:
    export = exported(site, form, first=3, last=6)
    assert "true: 4 entries, 3 to 6" in export.verified()


def change(old: str, new: str) -> Callable[[Export], None]:
    return lambda export: export.file.write_text(export.file.read_text().replace(old, new, 1))


def reorder(export: Export) -> None:
    lines = export.lines()
    export.write([*lines[:1], lines[2], lines[1], *lines[3:]])


def manifest_of_another(export: Export) -> None:
    document = json.loads(export.manifest.read_text()) | {"last": 5, "count": 5}
    export.manifest.write_text(json.dumps(document))


def a_checkpoint_that_was_changed(export: Export) -> None:
    document = json.loads(export.checkpoint.read_text()) | {"hash": "0" * 64}
    export.checkpoint.write_bytes(canonical(document))


def signed_by_a_stranger(export: Export) -> None:
    export.sign_anew(FolderSigner(export.file.parent / "stranger"))


def a_strangers_checkpoint(export: Export) -> None:
    signer = FolderSigner(export.file.parent / "stranger")
    document = json.loads(export.checkpoint.read_text()) | {"hash": "0" * 64, "key_id": signer.key_id}
    del document["signature"]
    document["signature"] = signer.sign(canonical(document))
    export.checkpoint.write_bytes(canonical(document))


FALSE: dict[str, tuple[Callable[[Export], None], str]] = {
    "a changed actor": (change('"actor": "alice"', '"actor": "malory"'), "entry 1: actor says 'malory'"),
    "a changed byte of an event": (change("our support team", "our support tean"), "entry 1 was changed|not the one"),
    "a changed sentence": (change("alice added", "nobody added"), "not the one that the manifest speaks of"),
    "a changed outcome": (change('"outcome": "refused"', '"outcome": "done"'), "entry 5: outcome says 'done'"),
    "a changed hash": (change('"hash": "', '"hash": "0'), "entry 1 was changed"),
    "a removed entry": (lambda e: e.write(e.lines()[:2] + e.lines()[3:]), "entry 3 is missing"),
    "a removed first entry": (lambda e: e.write(e.lines()[1:]), "entry 1 is missing"),
    "a truncated file": (lambda e: e.write(e.lines()[:-1]), "entry 6 is missing: the file ends"),
    "a repeated entry": (lambda e: e.write(e.lines()[:2] + e.lines()[1:]), "entry 3 is missing, or stands elsewhere"),
    "an entry too many": (lambda e: e.write(e.lines() + e.lines()[-1:]), "more entries than the manifest says"),
    "reordered entries": (reorder, "entry 2 is missing, or stands elsewhere"),
    "a manifest of another range": (manifest_of_another, "manifest .* is not signed by this key, or was changed"),
    "a manifest that a stranger signed": (signed_by_a_stranger, "manifest .* is not signed by this key"),
    "a checkpoint that was changed": (a_checkpoint_that_was_changed, "checkpoint .* is not signed by this key"),
    "a stranger's checkpoint": (a_strangers_checkpoint, "checkpoint .* is not signed by this key"),
}


@pytest.mark.parametrize(("forge", "words"), FALSE.values(), ids=FALSE)
def test_a_false_export_is_refused(site: Installation, forge: Callable[[Export], None], words: str) -> None:
    export = exported(site)
    export.verified()
    forge(export)
    with pytest.raises(verify_export.FalseExport, match=words):
        export.verified()


def test_a_log_that_was_rewritten_as_a_whole_is_refused_by_an_older_checkpoint(site: Installation) -> None:
    export = exported(site)
    document = json.loads(export.checkpoint.read_text()) | {"hash": "0" * 64}
    del document["signature"]
    document["signature"] = FolderSigner(site.settings.checkpoint_key).sign(canonical(document))
    export.checkpoint.write_bytes(canonical(document))
    with pytest.raises(verify_export.FalseExport, match="entry 6: the checkpoint vouches for another log"):
        export.verified()


def test_a_checkpoint_of_entries_that_an_export_lacks_is_refused(site: Installation) -> None:
    export = exported(site, first=1, last=3)
    with pytest.raises(verify_export.FalseExport, match="about entry 6, which this export does not have"):
        export.verified()


@pytest.mark.parametrize("form", FORMATS)
def test_a_longer_export_takes_no_more_memory(site: Installation, form: str, tmp_path: Path) -> None:
    (entry,) = site.log.entries(1, 1)

    def taken(number: int) -> int:
        tracemalloc.start()
        export(repeat(entry, number), tmp_path / f"{number}", form, before="", signer=FolderSigner(tmp_path / "key"))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    taken(1)  # what is imported for it counts for none
    short, long = taken(50), taken(400)
    assert (tmp_path / "400").stat().st_size > 500_000
    assert long < short + 100_000


def test_no_cell_of_a_csv_export_is_a_formula(site: Installation) -> None:
    rows = list(csv.reader(io.StringIO(exported(site, "csv").file.read_text())))
    assert len({len(row) for row in rows}) == 1
    assert [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    assert "alice added =SUM(0)" in rows[1][rows[0].index("sentence")]


def test_cloud_events_have_what_the_specification_requires(site: Installation) -> None:
    batch = json.loads(exported(site, "cloudevents").file.read_text())
    assert [event["id"] for event in batch] == [str(number) for number in range(1, 7)]
    for event in batch:
        assert event["specversion"] == "1.0"
        assert all(isinstance(event[name], str) and event[name] for name in ("id", "source", "type", "time"))
        assert event["data"]["position"] == int(event["id"])


def test_a_csv_export_is_refused_when_a_cell_was_changed(site: Installation) -> None:
    export = exported(site, "csv")
    change("alice", "malory")(export)
    with pytest.raises(verify_export.FalseExport, match="entry 1: actor says 'malory'"):
        export.verified()


def test_exports_are_never_overwritten_and_a_range_must_exist(site: Installation) -> None:
    exported(site)
    with pytest.raises(InvalidInput, match="never overwritten"):
        exported(site)
    with pytest.raises(InvalidInput, match="cannot be exported"):
        exported(site, "csv", first=5, last=500)
    assert sorted(file.name for file in site.settings.home.glob("log.*")) == ["log.jsonl", "log.jsonl.manifest.json"]


def test_exports_and_checkpoints_are_entries_themselves(site: Installation) -> None:
    exported(site)
    assert [entry.sentence for entry in site.auditing.entries()[-2:]] == [
        "alice signed a checkpoint at entry 6 under licence L-17 from the command line",
        "alice exported entries 1 to 6 as jsonl under licence L-17 from the command line",
    ]
