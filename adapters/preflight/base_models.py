"""What a base model's files say about it, read without loading it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from adapters.shared.weights import tensors_of
from domain.catalogue.method_spec import Backend, MethodType
from domain.errors import InvalidBaseModel
from domain.ports import BaseModel

_WRITES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_JUDGES = "ForSequenceClassification"
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U32": 4, "I8": 1, "U8": 1, "F8_E4M3": 1}


@dataclass(frozen=True)
class BaseModelFacts:
    """A base model's architecture and size. `matrices` are the shapes of its layers' matrices, rows × columns."""

    name: str
    source: str
    model_type: str
    architecture: str
    parameters: int
    weight_bytes: int
    layers: int
    hidden: int
    vocabulary: int
    positions: int | None
    quantised: bool
    matrices: tuple[tuple[int, int], ...] = field(repr=False, default=())


def facts_of(base_model: BaseModel) -> BaseModelFacts:
    """The facts in `config.json` and in the heads of the weights' files. Raises `InvalidBaseModel`."""
    folder = Path(base_model.source)
    config = json.loads((folder / "config.json").read_bytes())
    # Models that also see or hear keep what concerns text in a part of its own.
    text = config.get("text_config") or config
    tensors = dict(tensors_of(folder))
    return BaseModelFacts(
        name=base_model.name,
        source=base_model.source,
        model_type=str(config.get("model_type", "")),
        architecture=next(iter(config.get("architectures") or ()), ""),
        parameters=sum(prod(tensor["shape"]) for tensor in tensors.values()),
        weight_bytes=sum(prod(tensor["shape"]) * _BYTES.get(tensor["dtype"], 4) for tensor in tensors.values()),
        layers=int(text.get("num_hidden_layers") or text.get("n_layer") or 0),
        hidden=int(text.get("hidden_size") or text.get("n_embd") or 0),
        vocabulary=int(text.get("vocab_size") or 0),
        positions=text.get("max_position_embeddings") or text.get("n_positions"),
        quantised="quantization" in config or "quantization_config" in config,
        matrices=tuple(
            (tensor["shape"][0], tensor["shape"][1])
            for name, tensor in tensors.items()
            if len(tensor["shape"]) == 2 and "embed" not in name and "lm_head" not in name
        ),
    )


def must_fit(
    facts: BaseModelFacts,
    *,
    trainer: str,
    method_types: tuple[MethodType, ...],
    backend: Backend,
    options: Mapping[str, Any],
) -> None:
    """Raise `InvalidBaseModel` unless the trainer can train this model, as far as its files tell.

    Of a trainer of the type `OTHER` it is not known what it can train.
    """
    if MethodType.OTHER in method_types:
        return
    judges = facts.architecture.endswith(_JUDGES)
    writes = facts.architecture.endswith(_WRITES) or not facts.architecture
    if not writes and not (judges and method_types == (MethodType.REWARD,)):
        hint = " It is a reward model: set it as reward_model beside a language model." if judges else ""
        raise InvalidBaseModel(
            f"The base model {facts.name} is a {facts.architecture}, and the trainer {trainer} trains models that "
            f"write text (…ForCausalLM).{hint}"
        )
    if backend is Backend.MLX and facts.model_type and not _mlx_knows(facts.model_type):
        raise InvalidBaseModel(
            f"The base model {facts.name} is of the type {facts.model_type!r}, which mlx_lm does not know here. Update "
            "mlx_lm, choose another model, or train on cuda."
        )
    if facts.quantised and options.get("adapter") == "none":
        raise InvalidBaseModel(
            f"The base model {facts.name} is quantised, and quantised weights cannot be trained. Train an adapter "
            "(--set adapter=lora), or take the model before its quantisation."
        )


def must_judge(facts: BaseModelFacts) -> None:
    """Raise `InvalidBaseModel` unless this is a reward model."""
    if not facts.architecture.endswith(_JUDGES):
        raise InvalidBaseModel(
            f"The reward model {facts.name} is a {facts.architecture or facts.model_type}, which gives no reward "
            f"(…{_JUDGES}). Train one with the trainer reward, or leave reward_model empty."
        )


def _mlx_knows(model_type: str) -> bool:
    found = find_spec("mlx_lm")
    if found is None or not found.submodule_search_locations:
        return True  # the device's own check says so better
    package = Path(found.submodule_search_locations[0])
    # A few types are opened as others; the table of those stands in mlx_lm's utils, whose import would take seconds.
    renamed = f'"{model_type}":' in (package / "utils.py").read_text(encoding="utf-8")
    return renamed or (package / "models" / f"{model_type}.py").is_file()
