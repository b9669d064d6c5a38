"""The options that trainers have in common, under one name and with one meaning each, on both backends.

A trainer's `Options` inherits from the groups that it honours, in the order in which a form shows them.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.training import changes

_LORA = {"adapter": "lora"}


class TrainerOptions(BaseModel):
    """The root of every trainer's options: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimiserOptions(TrainerOptions):
    """AdamW, its schedule, and how much of the data one step sees."""

    max_steps: int = Field(
        default=100, ge=1, le=1_000_000, description="Optimiser steps to take", json_schema_extra=changes("steps")
    )
    batch_size: int = Field(
        default=16, ge=1, le=4096, description="Rows in one optimiser step", json_schema_extra=changes("weights")
    )
    learning_rate: float = Field(
        default=2e-5,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = Field(
        default="cosine",
        description="Shape of the learning-rate schedule after its warm-up",
        json_schema_extra=changes("weights"),
    )
    warmup_steps: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Steps in which the learning rate rises from zero to its highest",
        json_schema_extra=changes("weights", tried=2),
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Decoupled weight decay of AdamW",
        json_schema_extra=changes("weights", tried=0.5),
    )
    max_grad_norm: float = Field(
        default=1.0,
        ge=0.0,
        le=1e6,
        description="Gradients are scaled down to this norm; 0 leaves them as they are",
        json_schema_extra=changes("weights", tried=0.01),
    )


class EpochOptions(TrainerOptions):
    """The length of a training on rows that are there, by how often it sees them."""

    epochs: float = Field(
        default=0.0,
        ge=0.0,
        le=10_000.0,
        description="Times that every row is seen; above 0 it decides in place of max_steps",
        json_schema_extra=changes("steps", tried=0.05),
    )


class PackingOptions(TrainerOptions):
    """Short rows together."""

    packing: bool = Field(
        default=False,
        description="Put several rows into one of max_length tokens, so that nothing is padded; batch_size then counts "
        "those",
        json_schema_extra=changes("weights"),
    )


class MemoryOptions(TrainerOptions):
    """What fits larger models and batches into memory; the result stays the same but for rounding."""

    gradient_accumulation_steps: int = Field(
        default=1,
        ge=1,
        le=4096,
        description="Parts in which the rows of one step are computed, one after the other",
        json_schema_extra=changes("memory"),
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute activations again in the backward pass instead of keeping them",
        json_schema_extra=changes("memory"),
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Precision of the computation; auto is bfloat16 on GPUs that have it",
        json_schema_extra=changes("weights", tried="bfloat16"),
    )


class ProcessOptions(TrainerOptions):
    """Several processes for one training, on one machine or on several."""

    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that share the rows of a step: each on a GPU of its own, or side by side on the CPU",
        # Eight rows are not three equal shares: the check hears the refusal, and starts no processes.
        json_schema_extra=changes("memory", tried=3),
    )
    machines: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Machines that share the rows of a step, each with as many processes; workers of the same pool",
        json_schema_extra=changes("memory", tried=3),
    )

    @property
    def all_processes(self) -> int:
        """How many processes share the rows of a step."""
        return self.processes * self.machines


class CheckpointOptions(TrainerOptions):
    """How often a run's state is kept, so that an interrupted run goes on from there."""

    save_steps: int = Field(
        default=50,
        ge=0,
        le=100_000,
        description="Optimiser steps between checkpoints; 0 keeps none",
        json_schema_extra=changes("checkpoints", tried=3),
    )


class LengthOptions(TrainerOptions):
    """How long rows may be."""

    max_length: int = Field(
        default=1024,
        ge=8,
        le=1_048_576,
        description="Tokens that are kept of each row; longer ones lose their end",
        json_schema_extra=changes("weights", tried=16),
    )


class LoraOptions(TrainerOptions):
    """Low-rank adapters (Hu et al. 2021): how large they are and how strongly they act."""

    lora_rank: int = Field(
        default=8,
        ge=1,
        le=1024,
        description="Rank of the LoRA matrices",
        json_schema_extra=changes("artifact", beside=_LORA),
    )
    lora_alpha: float = Field(
        default=16.0,
        ge=0.1,
        le=4096.0,
        description="Scale of the LoRA update, divided by the rank",
        json_schema_extra=changes("weights", beside=_LORA),
    )
    lora_dropout: float = Field(
        default=0.0,
        ge=0.0,
        le=0.9,
        description="Dropout before the LoRA matrices",
        json_schema_extra=changes("weights", tried=0.5, beside=_LORA),
    )


class AdapterOptions(LoraOptions):
    """All weights, or a LoRA adapter on top of them."""

    adapter: Literal["none", "lora"] = Field(
        default="none", description="Train all weights (none) or a LoRA adapter", json_schema_extra=changes("artifact")
    )


class SamplingOptions(TrainerOptions):
    """How the model's own answers are drawn while it trains."""

    num_generations: int = Field(
        default=8,
        ge=2,
        le=512,
        description="Answers sampled for each prompt; the batch size is a multiple of it",
        json_schema_extra=changes("weights", tried=4),
    )
    max_completion_length: int = Field(
        default=256,
        ge=1,
        le=65_536,
        description="Longest answer, in tokens",
        json_schema_extra=changes("weights", tried=20),
    )
    temperature: float = Field(
        default=1.0,
        ge=0.05,
        le=5.0,
        description="Sampling temperature while training",
        json_schema_extra=changes("weights", tried=0.7),
    )
    top_p: float = Field(
        default=1.0,
        ge=0.01,
        le=1.0,
        description="Sample from the likeliest tokens that together have this probability",
        json_schema_extra=changes("weights", tried=0.5),
    )


class RewardOptions(TrainerOptions):
    """What is rewarded."""

    rewards: str = Field(
        default="exact_answer=1, format=0.2",
        max_length=4000,
        description='Rewards with their weights: exact_answer, format, regex("…"), json_schema({…}), length(200)',
        json_schema_extra=changes("metrics", tried="exact_answer=1, format=1"),
    )


class RewardModelOptions(RewardOptions):
    """Rewards, a trained reward model, or both."""

    reward_model: str = Field(
        default="",
        max_length=1000,
        description="Folder or hub id of a trained reward model whose score is added to the rewards; empty for none",
        json_schema_extra=changes("weights", tried="a-model-that-is-not-there"),
    )


class PolicyGradientOptions(TrainerOptions):
    """Learning from the rewards of several answers to one prompt: GRPO and RLOO."""

    batch_size: int = Field(
        default=64, ge=2, le=4096, description="Answers in one optimiser step", json_schema_extra=changes("weights")
    )
    learning_rate: float = Field(
        default=1e-5,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )
    beta: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Weight of the KL penalty towards the base model; 0 does without it",
        json_schema_extra=changes("weights"),
    )
    epsilon: float = Field(
        default=0.2,
        ge=0.001,
        le=1.0,
        description="How far an answer's probability ratio counts before it is clipped",
        json_schema_extra=changes("weights", tried=0.001, beside={"num_iterations": 2, "learning_rate": 1e-5}),
    )
    num_iterations: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Optimiser steps on each batch of answers",
        json_schema_extra=changes("weights"),
    )


class ReferenceOptions(TrainerOptions):
    """Preferences measured against what the base model thinks: DPO and KTO."""

    learning_rate: float = Field(
        default=1e-6,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )
    beta: float = Field(
        default=0.1,
        ge=0.001,
        le=100.0,
        description="How strongly the model is held to what the base model thinks",
        json_schema_extra=changes("weights"),
    )


class MarginOptions(ReferenceOptions):
    """The loss of DPO on the margin between a chosen and a rejected answer."""

    loss_type: Literal["sigmoid", "ipo", "hinge", "robust"] = Field(
        default="sigmoid",
        description="Loss on the margin between chosen and rejected: logistic, squared, hinge, or logistic where some "
        "pairs are the wrong way round",
        json_schema_extra=changes("weights"),
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0.0,
        le=0.49,
        description="Share of pairs that are the wrong way round, for loss_type robust",
        json_schema_extra=changes("weights", tried=0.2, beside={"loss_type": "robust"}),
    )
