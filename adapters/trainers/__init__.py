"""The trainers that come with the service: one readable file each, loaded when it is used."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import cast

from domain.catalogue.method_spec import Backend, MethodType
from domain.catalogue.options import declared_options
from domain.catalogue.trainer_declaration import TrainerDeclaration
from domain.errors import InvalidMethod
from domain.training import Trainer

_CUDA, _MLX = (Backend.CUDA,), (Backend.MLX,)


@dataclass(frozen=True)
class _BuiltIn:
    module: str
    summary: str
    backends: tuple[Backend, ...]
    method_types: tuple[MethodType, ...]


_BUILT_IN: dict[str, _BuiltIn] = {
    "sft": _BuiltIn(
        "adapters.trainers.torch.sft",
        "Supervised fine-tuning of all weights or a LoRA adapter",
        _CUDA,
        (MethodType.SFT,),
    ),
    "mlx-lora": _BuiltIn(
        "adapters.trainers.mlx.mlx_lora",
        "Supervised fine-tuning on MLX: a LoRA or DoRA adapter, or all weights",
        _MLX,
        (MethodType.PEFT, MethodType.SFT),
    ),
    "mlx-dpo": _BuiltIn(
        "adapters.trainers.mlx.mlx_dpo",
        "Direct preference optimisation on MLX, from chosen and rejected answers",
        _MLX,
        (MethodType.DPO,),
    ),
    "mlx-orpo": _BuiltIn(
        "adapters.trainers.mlx.mlx_orpo",
        "Odds-ratio preference optimisation on MLX, from chosen and rejected answers",
        _MLX,
        (MethodType.ORPO,),
    ),
    "mlx-grpo": _BuiltIn(
        "adapters.trainers.mlx.mlx_grpo",
        "Group Relative Policy Optimization on MLX with rewards that a program verifies",
        _MLX,
        (MethodType.GRPO,),
    ),
    "mlx-ppo": _BuiltIn(
        "adapters.trainers.mlx.mlx_ppo",
        "Proximal Policy Optimisation on MLX with rewards that a program verifies",
        _MLX,
        (MethodType.PPO,),
    ),
    "peft": _BuiltIn(
        "adapters.trainers.torch.peft",
        "Parameter-efficient fine-tuning: LoRA, rsLoRA, DoRA, IA3 or prompt tuning",
        _CUDA,
        (MethodType.PEFT,),
    ),
    "dpo": _BuiltIn(
        "adapters.trainers.torch.dpo", "Direct preference optimisation on pairs of answers", _CUDA, (MethodType.DPO,)
    ),
    "kto": _BuiltIn(
        "adapters.trainers.torch.kto",
        "Kahneman-Tversky optimisation on wanted and unwanted answers",
        _CUDA,
        (MethodType.KTO,),
    ),
    "orpo": _BuiltIn(
        "adapters.trainers.torch.orpo",
        "Odds-ratio preference optimisation on pairs of answers",
        _CUDA,
        (MethodType.ORPO,),
    ),
    "reward": _BuiltIn(
        "adapters.trainers.torch.reward",
        "A reward model that learns to score answers from pairs",
        _CUDA,
        (MethodType.REWARD,),
    ),
    "grpo": _BuiltIn(
        "adapters.trainers.torch.grpo",
        "Group Relative Policy Optimization with rewards that a program verifies",
        _CUDA,
        (MethodType.GRPO,),
    ),
    "rloo": _BuiltIn(
        "adapters.trainers.torch.rloo",
        "REINFORCE leave-one-out with rewards that a program verifies",
        _CUDA,
        (MethodType.RLOO,),
    ),
    "ppo": _BuiltIn(
        "adapters.trainers.torch.ppo",
        "Proximal Policy Optimisation with verifiable rewards or a trained reward model",
        _CUDA,
        (MethodType.PPO,),
    ),
}


class _Declarations(Mapping[str, TrainerDeclaration]):
    """A trainer's options are read from its module when somebody first asks for them."""

    def __getitem__(self, name: str) -> TrainerDeclaration:
        return _declaration(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_BUILT_IN)

    def __len__(self) -> int:
        return len(_BUILT_IN)


def declarations() -> Mapping[str, TrainerDeclaration]:
    """What each trainer declares, by its name."""
    return _Declarations()


def load(name: str) -> Trainer:
    """The trainer of this name. Raises `InvalidMethod` when there is none."""
    return cast(Trainer, import_module(module_of(name)))


def module_of(name: str) -> str:
    """The module of the trainer of this name. Raises `InvalidMethod` when there is none."""
    if name not in _BUILT_IN:
        raise InvalidMethod(f"trainer: there is no trainer {name!r} (there are: {', '.join(sorted(_BUILT_IN))}).")
    return _BUILT_IN[name].module


@cache
def code_hash() -> str:
    """sha256 over the source of all trainers, in hexadecimal: they share helpers, so one hash stands for all."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _declaration(name: str) -> TrainerDeclaration:
    built_in = _BUILT_IN[name]
    return TrainerDeclaration(
        name=name,
        summary=built_in.summary,
        backends=built_in.backends,
        method_types=built_in.method_types,
        options=declared_options(load(name).Options),
    )
