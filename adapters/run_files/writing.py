"""Writes the files of a run into the folder with its weights."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from adapters.run_files.model_card import card_of_merged, model_card
from adapters.run_files.story import RunStory
from adapters.shared.training.curve import curve_svg
from domain.ports import Answer


def write_run_files(folder: Path, story: RunStory) -> None:
    """Write all files of the run; `run.json` last, because it holds the hashes of the others."""
    (folder / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in story.steps), encoding="utf-8")
    (folder / "curve.svg").write_text(curve_svg(story.steps, title=story.title), encoding="utf-8")
    _write_json(folder / "answers.json", side_by_side(story.before.answers, story.after.answers))
    (folder / "README.md").write_text(model_card(story), encoding="utf-8")
    _write_json(folder / "run.json", run_record(story, folder))


def explain_export(trained: Path, out: Path) -> None:
    """Give a model that was merged from an adapter the files of its run, and a card that says what was done."""
    for name in ("run.json", "metrics.jsonl", "curve.svg", "answers.json"):
        shutil.copy(trained / name, out)
    record = json.loads((trained / "run.json").read_bytes())
    (out / "README.md").write_text(card_of_merged(record), encoding="utf-8")


def side_by_side(before: Sequence[Answer], after: Sequence[Answer]) -> list[dict[str, Any]]:
    """The same held-out prompts, answered before and after; empty where one of both gives no answers.

    `right` is null where nobody can tell.
    """
    if len(before) != len(after):
        return []
    return [
        {
            "prompt": then.prompt,
            "expected": then.expected,
            "before": {"said": then.said, "right": then.right},
            "after": {"said": now.said, "right": now.right},
        }
        for then, now in zip(before, after, strict=True)
    ]


def run_record(story: RunStory, folder: Path) -> dict[str, Any]:
    """What the run was made of, completely, and what came of it. From it alone the run can be repeated."""
    run, request, made_of = story.run, story.run.request, story.provenance
    return {
        "run_id": str(run.run_id),
        "name": request.output_name,
        "method": {
            "internal_name": request.method,
            "version": run.method_version,
            "display_name": story.method.display_name,
            "method_type": story.method.method_type.value,
            "trainer": story.method.trainer,
        },
        "options": run.options,
        "seed": request.seed,
        "base_model": {"name": request.base_model, "sha256": made_of.base_model_hash},
        "dataset": {
            "name": request.dataset,
            "columns": request.columns,
            "rows": len(story.dataset.rows),
            "conversations": any(isinstance(value, list) for value in story.dataset.rows[0].values()),
            "sha256": made_of.dataset_hash,
            "held_out_rows": len(story.dataset.held_out),
            "held_out_sha256": made_of.held_out_hash,
        },
        "training_code_sha256": made_of.code_hash,
        "packages": made_of.packages,
        "python": made_of.python,
        "backend": request.backend.value,
        "device": made_of.device,
        "machine": made_of.machine,
        "requested": {
            "by": story.requested.actor,
            "edition": story.requested.edition,
            "licence_id": story.requested.licence_id,
            "origin": story.requested.origin,
            "at": run.requested_at.isoformat(),
        },
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "steps": story.result.steps,
        "is_adapter": story.result.is_adapter,
        "metrics": dict(story.result.metrics),
        "before": dict(story.before.metrics),
        "after": dict(story.after.metrics),
        "measured": not story.unmeasured,
        "weights_sha256": weights_hash_of(folder),
        "files": {
            file.relative_to(folder).as_posix(): _sha256([file])
            for file in sorted(folder.rglob("*"))
            if file.is_file() and file != folder / "run.json"
        },
    }


def weights_hash_of(folder: Path) -> str:
    """sha256 over the weights alone, in hexadecimal: the same for two trainings that ended with the same model."""
    return _sha256(sorted(folder.glob("*.safetensors")))


def _sha256(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _write_json(file: Path, document: Any) -> None:
    file.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
