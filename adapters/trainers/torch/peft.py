"""Parameter-efficient fine-tuning: the base model's weights stay, and something small beside them is trained.

LoRA (Hu et al. 2021), rsLoRA (Kalajdzievski 2023), DoRA (Liu et al. 2024), (IA)³ (Liu et al. 2022), prompt tuning
(Lester et al. 2021), and LoRA on a base model in 4 bits (QLoRA, Dettmers et al. 2023).

Loss: that of `sft`, −log p(token | what came before), the mean over all tokens that are learned.
"""

from importlib.util import find_spec
from typing import Any, Literal

from pydantic import Field

from adapters.trainers.common_options import (
    CheckpointOptions,
    EpochOptions,
    LengthOptions,
    LoraOptions,
    MemoryOptions,
    OptimiserOptions,
    PackingOptions,
    ProcessOptions,
)
from adapters.trainers.torch.common.demonstrations import train_on_demonstrations
from adapters.trainers.torch.distributed import processes as several_processes
from domain.errors import InvalidConfigurationOptions
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(
    CheckpointOptions,
    ProcessOptions,
    MemoryOptions,
    LoraOptions,
    PackingOptions,
    LengthOptions,
    EpochOptions,
    OptimiserOptions,
):
    learning_rate: float = Field(
        default=2e-4,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )
    adapter: Literal["lora", "rslora", "dora", "ia3", "prompt"] = Field(
        default="lora",
        description="What is trained: low-rank matrices (lora; rslora scales them by the root of their rank; dora adds "
        "magnitudes), scales of activations (ia3), or virtual tokens before each row (prompt)",
        json_schema_extra=changes("artifact"),
    )
    virtual_tokens: int = Field(
        default=16,
        ge=1,
        le=1024,
        description="Virtual tokens of the adapter prompt",
        json_schema_extra=changes("artifact", beside={"adapter": "prompt"}),
    )
    quantization: Literal["none", "4bit"] = Field(
        default="none",
        description="Precision in which the base model's weights rest; 4bit needs a CUDA GPU",
        json_schema_extra=changes("memory"),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Train an adapter on demonstrations."""
    if options.all_processes > 1:
        return several_processes.train(__name__, job, options, progress)
    return train_here(job, options, progress)


def train_here(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """The training in this process, which may be one of several."""
    loading = _in_four_bits(job) if options.quantization == "4bit" else {}
    return train_on_demonstrations("peft", job, options, progress, adapter=_adapter(options), loading=loading)


def _adapter(options: Options) -> Any:
    from peft import IA3Config, PromptTuningConfig, PromptTuningInit

    from adapters.trainers.torch.common.huggingface import lora

    match options.adapter:
        case "ia3":
            return IA3Config(task_type="CAUSAL_LM")
        case "prompt":
            return PromptTuningConfig(
                task_type="CAUSAL_LM",
                num_virtual_tokens=options.virtual_tokens,
                prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
            )
        case _:
            return lora(options, use_rslora=options.adapter == "rslora", use_dora=options.adapter == "dora")


def _in_four_bits(job: TrainingJob) -> dict[str, Any]:
    lacks = [
        what
        for what, there in (("a CUDA GPU", job.device == "cuda"), ("bitsandbytes", find_spec("bitsandbytes")))
        if not there
    ]
    if lacks:
        raise InvalidConfigurationOptions(
            [f"option 'quantization': 4bit needs {' and '.join(lacks)}, which this machine lacks; set it to none"]
        )
    import torch
    from transformers import BitsAndBytesConfig

    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16,
        )
    }
