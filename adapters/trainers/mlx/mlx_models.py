"""Models on MLX: opening them, choosing which weights are trained, and saving what came of it.

Built on mlx-lm; what is saved opens with `mlx_lm.load`, and a whole model with transformers, too.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from adapters.shared.conversations import completed
from adapters.shared.mlx_runtime import make_ready
from adapters.shared.opening import opened_on_mlx
from adapters.shared.quiet import quiet
from adapters.trainers.common_options import LoraOptions
from adapters.turn_ends import ends_of, keep_ends
from domain.errors import InvalidBaseModel
from domain.training import TrainingJob, changes

NAME_OF_ADAPTER = "adapters.safetensors"


class ModelOptions(LoraOptions):
    """Which weights are trained, and how exactly everything is computed."""

    adapter: Literal["lora", "dora", "none"] = Field(
        default="lora",
        description="Train a LoRA or DoRA adapter, or all weights (none)",
        json_schema_extra=changes("artifact"),
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Precision of weights and computation; auto is that of the base model's files",
        json_schema_extra=changes("weights", tried="bfloat16"),
    )


@dataclass(frozen=True)
class Opened:
    """A model of mlx-lm, its tokenizer as transformers opens it, and the tokens at which an answer ends."""

    model: Any
    tokenizer: Any
    ends: frozenset[int]


def open_model(job: TrainingJob, options: ModelOptions) -> Opened:
    """The base model, with only those weights trainable that `options.adapter` names.

    The seed of the run decides how the adapter's matrices begin.
    """
    make_ready()
    import mlx.core as mx

    mx.random.seed(job.seed)
    with quiet():
        model, wrapped = opened_on_mlx(job.base_model)
        tokenizer = completed(wrapped._tokenizer)  # transformers' own, which it has opened already
    if options.dtype != "auto":
        model.set_dtype(mx.bfloat16 if options.dtype == "bfloat16" else mx.float32)
    if options.adapter == "none":
        _must_not_be_quantised(model, job.base_model)
        model.unfreeze()
    else:
        _add_adapter(model, options)
    model.train()
    return Opened(model, tokenizer, frozenset(ends_of(tokenizer, wrapped.eos_token_ids)))


def longest(model: Any, max_length: int) -> int:
    """How many tokens of a row are kept: no model learns from what lies beyond the positions that it knows."""
    return min(max_length, positions(model) or max_length)


def positions(model: Any) -> int | None:
    """How many positions the model knows, if it says so."""
    return getattr(model.args, "max_position_embeddings", None)


def width_step() -> int:
    """Of what number batches' widths are multiples: on a GPU each width is compiled anew, on the CPU nothing is."""
    import mlx.core as mx

    return 32 if mx.default_device() == mx.gpu else 1


def _add_adapter(model: Any, options: ModelOptions) -> None:
    from mlx_lm.tuner import linear_to_lora_layers

    model.freeze()
    linear_to_lora_layers(model, len(model.layers), _lora_parameters(options), use_dora=options.adapter == "dora")


def _lora_parameters(options: ModelOptions) -> dict[str, float]:
    return {
        "rank": options.lora_rank,
        "scale": options.lora_alpha / options.lora_rank,
        "dropout": options.lora_dropout,
    }


def _must_not_be_quantised(model: Any, base_model: str) -> None:
    from mlx import nn

    if any(isinstance(module, nn.QuantizedLinear | nn.QuantizedEmbedding) for module in model.modules()):
        raise InvalidBaseModel(
            f"{base_model} is quantised, and quantised weights cannot be trained. Set adapter to lora, or take the "
            "model before its quantisation."
        )


def save_model(folder: Path, opened: Opened, job: TrainingJob, options: ModelOptions) -> None:
    """Save the adapter, or the whole model, as `mlx_lm.load` opens it."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = opened.model
    opened.tokenizer.save_pretrained(folder)
    if options.adapter == "none":
        _save_whole(folder, model, job.base_model)
        keep_ends(folder, opened.tokenizer)
        return
    mx.save_safetensors(str(folder / NAME_OF_ADAPTER), dict(tree_flatten(model.trainable_parameters())))
    config = {
        "fine_tune_type": options.adapter,
        "num_layers": len(model.layers),
        "lora_parameters": _lora_parameters(options),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    keep_ends(folder, opened.tokenizer)


def _save_whole(folder: Path, model: Any, base_model: str) -> None:
    from mlx_lm.utils import hf_repo_to_path, load_config, save_config
    from mlx_lm.utils import save_model as save_weights

    base = Path(base_model) if Path(base_model).exists() else Path(hf_repo_to_path(base_model))
    save_weights(folder, model)
    save_config(load_config(base), folder / "config.json")
    if (generation := base / "generation_config.json").exists():
        shutil.copy(generation, folder)


@contextmanager
def gradient_checkpointing(model: Any, *, on: bool) -> Iterator[None]:
    """Within it, activations are computed again in the backward pass instead of kept.

    mlx-lm does this to the class of the layers, so it is undone at the end: other models may share the class.
    """
    from mlx_lm.tuner.trainer import grad_checkpoint

    layer = type(model.layers[0])
    plain = layer.__call__
    if on:
        grad_checkpoint(model.layers[0])
    try:
        yield
    finally:
        layer.__call__ = plain
