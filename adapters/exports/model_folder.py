"""What a training made, as one folder that transformers and mlx_lm open: an adapter is merged into its base model."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from adapters.shared.mlx_runtime import make_ready
from adapters.shared.opening import config_of, model_of, opened_on_mlx
from adapters.shared.privacy import as_the_user_has_it
from adapters.shared.quiet import quiet
from adapters.turn_ends import take_over_ends
from domain.catalogue.method_spec import Backend
from domain.errors import InvalidInput
from domain.ports import BaseModel

_TOKENIZER = ("tokenizer*", "special_tokens_map.json", "chat_template.jinja", "vocab.*", "merges.txt", "*.model")


def is_adapter(trained: Path) -> bool:
    """Whether a folder holds an adapter that goes on top of a base model, and no model of its own."""
    return (trained / "adapter_config.json").is_file()


def export(trained: Path, base_model: BaseModel, out: Path, *, backend: Backend) -> None:
    """Write the whole model with its tokenizer to `out`, which is made, or empty. Whole or not at all.

    Raises `InvalidInput` for an adapter that cannot be merged, or a folder that cannot be written.
    """
    _must_be_free(out)
    with as_the_user_has_it(out):
        _write(trained, base_model, out, backend)


def _write(trained: Path, base_model: BaseModel, out: Path, backend: Backend) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}. Choose another folder.") from None
    try:
        if not is_adapter(trained):
            _copy(trained, fresh)
        elif backend is Backend.MLX:
            _merge_on_mlx(trained, base_model, fresh)
        else:
            _merge_on_torch(trained, base_model, fresh)
        if is_adapter(trained):
            take_over_ends(trained, fresh)
        fresh.chmod(0o755)
        fresh.replace(out)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _must_be_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out} exists and is not an empty folder. Choose another one, or remove it first.")


def _copy(trained: Path, fresh: Path) -> None:
    shutil.copytree(trained, fresh, dirs_exist_ok=True)


def _merge_on_torch(trained: Path, base_model: BaseModel, fresh: Path) -> None:
    """W + (α/r)·BA for LoRA, and what the other kinds have in its place; computed in 32 bits, kept as the base is."""
    kind = json.loads((trained / "adapter_config.json").read_bytes())
    if kind.get("peft_type") in ("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING"):
        raise InvalidInput(
            "This run trained a prompt, which is no part of the weights and cannot be merged into them. Use its "
            "artefact with peft, on top of the base model."
        )
    with quiet():
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

        judges = kind.get("task_type") == "SEQ_CLS"
        opening = AutoModelForSequenceClassification if judges else AutoModelForCausalLM
        more: dict[str, Any] = {"num_labels": 1} if judges else {}
        model = model_of(opening, base_model.source, dtype=torch.float32, **more)
        merged = PeftModel.from_pretrained(model, str(trained)).merge_and_unload()
        kept = config_of(base_model.source).dtype or torch.float32
        merged.to(kept).save_pretrained(fresh)
    _copy_tokenizer(trained, fresh)


def _merge_on_mlx(trained: Path, base_model: BaseModel, fresh: Path) -> None:
    make_ready()
    from mlx.utils import tree_unflatten
    from mlx_lm.utils import dequantize_model, load_config, save_config, save_model

    with quiet():
        model, _ = opened_on_mlx(base_model.source, trained)
        config = load_config(Path(base_model.source))
        merged = [(name, module.fuse()) for name, module in model.named_modules() if hasattr(module, "fuse")]
        model.update_modules(tree_unflatten(merged))
        if config.pop("quantization", None) is not None:
            # transformers does not open what MLX has quantised.
            config.pop("quantization_config", None)
            model = dequantize_model(model)
        save_model(fresh, model)
        save_config(config, fresh / "config.json")
    if (generation := Path(base_model.source) / "generation_config.json").is_file():
        shutil.copy(generation, fresh)
    _copy_tokenizer(trained, fresh)


def _copy_tokenizer(trained: Path, fresh: Path) -> None:
    for pattern in _TOKENIZER:
        for file in trained.glob(pattern):
            shutil.copy(file, fresh)
