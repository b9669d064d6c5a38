"""A look at trainings of the small base model, with whatever is changed about it."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.preflight import Measured, Room, facts_of, look_at
from domain.catalogue.method_spec import Backend, MethodType
from domain.catalogue.trainer_declaration import TrainerDeclaration
from domain.ports import BaseModel, Dataset, Device
from domain.runs.run_plan import RunPlan
from domain.runs.training_run import RunRequest
from infra import samples

SMALL_BASE = Path(samples.__file__).parent / "small-base"
OPTIONS = {"max_steps": 10, "batch_size": 4, "max_length": 1024, "adapter": "none", "lora_rank": 8, "save_steps": 50}

Changed = Callable[..., BaseModel]
Look = Callable[..., RunPlan]


def sums(count: int, *, begin: int = 0) -> list[dict[str, Any]]:
    asked = [f"{number}+1=" for number in range(begin, begin + count)]
    return [
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": "<answer>7</answer>"}]}
        for question in asked
    ]


@pytest.fixture
def room() -> Room:
    return Room(memory_total=16 * 10**9, memory_free=12 * 10**9, disk_free=50 * 10**9, cores=2)


@pytest.fixture
def base_model(tmp_path: Path) -> Changed:
    """The small base model with changes to its configuration, its tokenizer's, or with other contents in its files."""

    def changed(
        *, tokenizer: Mapping[str, Any] | None = None, files: Mapping[str, bytes | None] | None = None, **config: Any
    ) -> BaseModel:
        folder = tmp_path / f"base-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(SMALL_BASE, folder)
        for name, changes in (("config.json", config), ("tokenizer_config.json", tokenizer or {})):
            fields = json.loads((folder / name).read_text()) | changes
            (folder / name).write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))
        for name, contents in (files or {}).items():
            if contents is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(contents)
        return BaseModel(name=folder.name, source=str(folder), files_hash="0" * 64)

    return changed


@pytest.fixture
def look(room: Room) -> Look:
    """Looks at a supervised fine-tuning of the small base model, or at what else is asked for."""
    roomy = room

    def look(
        rows: Sequence[Mapping[str, Any]] | None = None,
        held_out: Sequence[Mapping[str, Any]] | None = None,
        *,
        base: BaseModel | None = None,
        types: tuple[MethodType, ...] = (MethodType.SFT,),
        backend: Backend = Backend.CUDA,
        room: Room | None = None,
        device: str = "cpu",
        measured: Sequence[Measured] = (),
        **options: Any,
    ) -> RunPlan:
        dataset = Dataset(
            "d",
            rows=sums(20) if rows is None else rows,
            held_out=sums(4, begin=50) if held_out is None else held_out,
            rows_hash="",
            held_out_hash="",
        )
        return look_at(
            RunRequest.parse({"method": "mine", "backend": backend, "base_model": "b", "dataset": "d"}),
            TrainerDeclaration(name="trainer", summary="-", backends=(backend,), method_types=types, options=()),
            OPTIONS | options,
            dataset,
            facts_of(base or BaseModel("small-base", str(SMALL_BASE), "")),
            device=Device(device, "CPU"),
            room=room or roomy,
            measured=measured,
        )

    return look
