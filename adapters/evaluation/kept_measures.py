"""Measuring a base model takes as long before every training, and comes to the same: it is done once.

What was measured is kept under all that it depends on: the base model, the held-out rows, the seed, the device and the
machine, the installed packages and the code that measures.
"""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from domain import exact_numbers
from domain.ports import Answer, Evaluation
from domain.runs import grading as answers
from domain.runs.training_run import Provenance

_DEPENDS_ON = ("base_model_hash", "held_out_hash", "packages", "python", "device", "machine")


def measured_once(folder: Path, provenance: Provenance, seed: int, measure: Callable[[], Evaluation]) -> Evaluation:
    """What `measure` gives, or what it gave on this machine for the very same."""
    facts = provenance.model_dump(mode="json", include=set(_DEPENDS_ON)) | {"seed": seed, "code": _code_hash()}
    file = folder / f"{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):  # it was never measured, or the file is damaged
        kept = json.loads(file.read_bytes())
        return Evaluation(kept["metrics"], [Answer(**answer) for answer in kept["answers"]])
    evaluation = measure()
    folder.mkdir(parents=True, exist_ok=True)
    begun = file.with_name(f"{file.name}.{uuid4()}")
    begun.write_text(
        json.dumps({"metrics": dict(evaluation.metrics), "answers": [asdict(one) for one in evaluation.answers]}),
        encoding="utf-8",
    )
    os.replace(begun, file)
    return evaluation


def _code_hash() -> str:
    """sha256 over the source of what measures."""
    from adapters import chat_templates, control_tokens, evaluation, measuring_room, turn_ends
    from adapters.shared import conversations

    others = (conversations, chat_templates, control_tokens, measuring_room, turn_ends, answers, exact_numbers)
    files = [*Path(evaluation.__file__).parent.glob("*.py"), *(Path(str(module.__file__)) for module in others)]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
