"""The methods that every installation starts with, by the backends it has.

CUDA: GRPO-Demo, SFT-Demo, Custom01, Custom02. MLX alone: MLX-Demo, Custom01, Custom02. Both: all five.
"""

from collections.abc import Collection

from domain.catalogue.method_spec import Backend, MethodSpec, MethodType
from domain.catalogue.options import ConfigurationOption, OptionType

_SMALL_BASE = "small-base"


def _number(name: str, default: float, minimum: float, maximum: float, description: str) -> ConfigurationOption:
    return ConfigurationOption(
        name=name,
        type=OptionType.NUMBER,
        default=default,
        minimum=minimum,
        maximum=maximum,
        description=description,
    )


def _integer(name: str, default: int, minimum: int, maximum: int, description: str) -> ConfigurationOption:
    return ConfigurationOption(
        name=name,
        type=OptionType.INTEGER,
        default=default,
        minimum=minimum,
        maximum=maximum,
        description=description,
    )


def _choice(name: str, default: str, choices: tuple[str, ...], description: str) -> ConfigurationOption:
    return ConfigurationOption(
        name=name, type=OptionType.CHOICE, default=default, choices=choices, description=description
    )


def _text(name: str, default: str, max_length: int, description: str) -> ConfigurationOption:
    return ConfigurationOption(
        name=name, type=OptionType.TEXT, default=default, max_length=max_length, description=description
    )


def _steps(default: int) -> ConfigurationOption:
    return _integer("max_steps", default, 1, 100_000, "Optimiser steps to take")


def _batch(default: int) -> ConfigurationOption:
    return _integer("batch_size", default, 1, 1024, "Rows in one optimiser step")


def _learning_rate(default: float) -> ConfigurationOption:
    return _number("learning_rate", default, 1e-7, 1e-1, "AdamW step size at its highest")


def _schedule(default: str) -> ConfigurationOption:
    return _choice(
        "lr_scheduler_type",
        default,
        ("cosine", "linear", "constant"),
        "Shape of the learning-rate schedule after its warm-up",
    )


def _warmup(default: int) -> ConfigurationOption:
    return _integer(
        "warmup_steps", default, 0, 100_000, "Steps in which the learning rate rises from zero to its highest"
    )


_LORA_RANK = _integer("lora_rank", 8, 1, 512, "Rank of the LoRA matrices")

SFT_DEMO = MethodSpec(
    internal_name="sft-demo",
    display_name="SFT-Demo",
    method_type=MethodType.SFT,
    description=(
        "Supervised fine-tuning on sample demonstrations: the small base model learns to reason in the asked "
        "format before it answers."
    ),
    trainer="sft",
    backends=(Backend.CUDA,),
    configuration_options=(
        _steps(100),
        _batch(32),
        _learning_rate(3e-4),
        _schedule("constant"),
        _warmup(5),
        _choice("adapter", "none", ("none", "lora"), "Train all weights (none) or a LoRA adapter"),
        _LORA_RANK,
    ),
    default_base_model=_SMALL_BASE,
    default_dataset="sft-demo",
)

GRPO_DEMO = MethodSpec(
    internal_name="grpo-demo",
    display_name="GRPO-Demo",
    method_type=MethodType.GRPO,
    description=(
        "Group Relative Policy Optimization on sample prompts with verifiable answers: the small base model "
        "discovers that reasoning before answering is rewarded."
    ),
    trainer="grpo",
    backends=(Backend.CUDA,),
    configuration_options=(
        _steps(60),
        _batch(64),
        _learning_rate(1e-4),
        _schedule("constant"),
        _warmup(3),
        _integer("num_generations", 8, 2, 64, "Answers sampled for each prompt; the batch size is a multiple of it"),
        _integer("max_completion_length", 32, 1, 8192, "Longest answer, in tokens"),
        _number("temperature", 1.0, 0.05, 2.0, "Sampling temperature while training"),
        _text("rewards", "exact_answer=1, format=0.2", 4000, "Rewards with their weights"),
    ),
    default_base_model=_SMALL_BASE,
    default_dataset="grpo-demo",
)

MLX_DEMO = MethodSpec(
    internal_name="mlx-demo",
    display_name="MLX-Demo",
    method_type=MethodType.PEFT,
    description=(
        "A LoRA adapter trained with MLX on sample demonstrations: the small base model learns to reason in the "
        "asked format before it answers."
    ),
    trainer="mlx-lora",
    backends=(Backend.MLX,),
    configuration_options=(_steps(60), _batch(16), _learning_rate(1e-3), _schedule("cosine"), _LORA_RANK),
    default_base_model=_SMALL_BASE,
    default_dataset="mlx-demo",
)


def _custom(number: int, like: MethodSpec) -> MethodSpec:
    return like.model_copy(
        update={
            "internal_name": f"custom{number:02}",
            "display_name": f"Custom{number:02}",
            "method_type": MethodType.OTHER,
            "description": (
                f"A template for your own training logic. Until it has some, it trains as {like.display_name}."
            ),
        }
    )


_CUSTOM_ON_CUDA = (_custom(1, SFT_DEMO), _custom(2, SFT_DEMO))
_CUSTOM_ON_MLX = (_custom(1, MLX_DEMO), _custom(2, MLX_DEMO))

PREINSTALLED = (GRPO_DEMO, SFT_DEMO, MLX_DEMO, *_CUSTOM_ON_CUDA, *_CUSTOM_ON_MLX)


def preinstalled_methods(backends: Collection[Backend]) -> tuple[MethodSpec, ...]:
    """The methods that an environment with these backends starts with."""
    on_cuda = (GRPO_DEMO, SFT_DEMO) if Backend.CUDA in backends else ()
    on_mlx = (MLX_DEMO,) if Backend.MLX in backends else ()
    custom = _CUSTOM_ON_CUDA if Backend.CUDA in backends else _CUSTOM_ON_MLX if Backend.MLX in backends else ()
    return (*on_cuda, *on_mlx, *custom)
