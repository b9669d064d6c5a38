"""A catalogue as it looks after a year: many methods and runs, long names, and texts from right to left."""

import json
import math
from collections.abc import Iterator
from uuid import UUID, uuid5

from domain.people.users import User
from infra.service import Service
from tests.support.people import ALICE, BOB, PROVENANCE, method, request

_NAMES = UUID(int=7)
_LONG = "A method whose display name goes on for as long as the catalogue lets one go on "[:80]
_LONG_NAME = "a-name-as-long-as-an-internal-name-may-be-which-is-63-letters-z"
_RIGHT_TO_LEFT = "ضبط دقيق لفريق الدعم"
_HEBREW = "כוונון עדין לצוות התמיכה, עם הגדרות ברירת המחדל שלנו"


def fill(installation: Service, *, methods: int, runs: int) -> list[UUID]:
    """Add so many methods and runs of every kind; the ids of the runs."""
    service = installation
    names = []
    for number in range(methods):
        name = (
            f"sft-team-{number:02}"
            if number != 1
            else "a-name-as-long-as-an-internal-name-may-be-which-is-63-letters-z"
        )
        display = {0: _RIGHT_TO_LEFT, 1: _LONG}.get(number, f"SFT for team {number}")
        about = {0: _HEBREW, 1: "Words " * 90}.get(
            number, f"Supervised fine-tuning with the defaults of team {number}."
        )
        service.catalogue.add(method(name, display_name=display, description=about), by=ALICE)
        names.append(name)
    return [_run(installation, names[number % len(names)], number) for number in range(runs)]


def _run(installation: Service, name: str, number: int) -> UUID:
    service, by, run_id = installation, _asker(number), uuid5(_NAMES, str(number))
    called = {0: _RIGHT_TO_LEFT, 1: "the result of a very long night of training, with the words for it"}.get(
        number, ""
    )
    service.trainings.request(run_id, request(name, output_name=called, options={"max_steps": 100 + number % 3}), by=by)
    kind = number % 7
    if kind == 6:
        return run_id
    service.trainings.start(run_id, PROVENANCE)
    folder = installation.run_folder(run_id)
    if number < 20:
        with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in steps(60))
    if kind == 5:
        return run_id
    if kind == 4:
        service.trainings.fail(run_id, "The loss is not a number at step 12. A smaller learning rate often helps.")
    elif kind == 3:
        service.trainings.cancel(run_id, f"{by.name} cancelled it at the page.", by=by)
    else:
        service.trainings.complete(
            run_id,
            artifact=str(folder),
            artifact_hash="e" * 64,
            weights_hash=("f" if number % 2 else "a") * 64,
            steps=100,
            metrics={"loss": 0.41},
            before={"exact_answer": 0.12, "loss": 1.93},
            after={"exact_answer": 0.54 + number % 10 / 100, "loss": 0.61},
        )
        answers = [_answer(f"{12 + n}+{30 + n}=", str(42 + 2 * n)) for n in range(4)]
        (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")
    return run_id


def steps(count: int) -> Iterator[dict[str, object]]:
    """Lines of a metrics file."""
    for step in range(1, count + 1):
        loss = 2 * math.exp(-step / 25) + 0.15 * math.sin(step * 1.7) ** 2
        at = f"2026-11-30T12:{step // 60:02}:{step % 60:02}+00:00"
        yield {"step": step, "total": 100, "at": at, "loss": loss, "learning_rate": 3e-4, "grad_norm": 1 + loss / 3}


def _answer(prompt: str, expected: str) -> dict[str, object]:
    before = {"said": "I think it is\nforty?", "right": False}
    after = {"said": f"<think>add the tens</think> <answer>{expected}</answer>", "right": True}
    return {"prompt": prompt, "expected": expected, "before": before, "after": after}


def _asker(number: int) -> User:
    return ALICE if number % 3 else BOB
