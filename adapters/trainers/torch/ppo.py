"""Proximal Policy Optimisation (Schulman 2017) of a language model: its own answers are rewarded, a value head learns
what to expect, and what was better than expected becomes likelier, in small clipped steps.

As Ziegler 2019 and Ouyang 2022 do it, with a penalty for leaving the base model. The mathematics is in
policy_gradient.py, each piece with its equation.

Loss: −min(ρ̂A, clip(ρ̂, 1−ε, 1+ε)A) of each token (arXiv:1707.06347, eq. 7) with advantages by GAE (arXiv:1506.02438,
eq. 16), plus the squared error of the value head.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from adapters.trainers import policy_gradient
from adapters.trainers.bad_results import must_have_ended_sometimes, rewards_must_have_varied
from adapters.trainers.common_options import (
    AdapterOptions,
    CheckpointOptions,
    MemoryOptions,
    OptimiserOptions,
    RewardModelOptions,
    RewardOptions,
    SamplingOptions,
)
from adapters.trainers.shapes import must_have_columns
from adapters.trainers.torch.common.rollouts import Judge, Policy, Rollouts, judged_by, must_be_answerable
from domain.errors import InvalidConfigurationOptions
from domain.training import Progress, TrainingJob, TrainingResult, changes


class PpoOptions(RewardOptions, SamplingOptions):
    """What PPO honours on every backend."""

    max_steps: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Rounds of answering and learning from it",
        json_schema_extra=changes("steps"),
    )
    batch_size: int = Field(
        default=64, ge=2, le=4096, description="Answers in one round", json_schema_extra=changes("weights")
    )
    mini_batch_size: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="Answers in one update of the weights",
        json_schema_extra=changes("weights", tried=8),
    )
    ppo_epochs: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Times that a round's answers are learned from",
        json_schema_extra=changes("weights"),
    )
    learning_rate: float = Field(
        default=1e-5,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )
    num_generations: int = Field(
        default=1,
        ge=1,
        le=512,
        description="Answers sampled for each prompt; the batch size is a multiple of it",
        json_schema_extra=changes("weights", tried=4),
    )
    beta: float = Field(
        default=0.05,
        ge=0.0,
        le=10.0,
        description="What a token pays for each nat that it diverges from the base model",
        json_schema_extra=changes("weights"),
    )
    epsilon: float = Field(
        default=0.2,
        ge=0.001,
        le=1.0,
        description="How far a token's probability ratio counts before it is clipped",
        json_schema_extra=changes("weights", tried=0.001),
    )
    epsilon_value: float = Field(
        default=0.2,
        ge=0.001,
        le=1e6,
        description="How far a value may move in one round before it is clipped",
        json_schema_extra=changes("weights", tried=0.001),
    )
    gamma: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="Discount of what later tokens earn",
        json_schema_extra=changes("weights", tried=0.5),
    )
    lam: float = Field(
        default=0.95,
        ge=0.0,
        le=1.0,
        description="λ of advantage estimation: 1 trusts rewards, 0 trusts values",
        json_schema_extra=changes("weights", tried=0.5),
    )
    value_coef: float = Field(
        default=0.5, ge=0.0, le=100.0, description="Weight of the value loss", json_schema_extra=changes("weights")
    )
    entropy_coef: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Weight of the entropy that is encouraged",
        json_schema_extra=changes("weights"),
    )
    whiten_rewards: bool = Field(
        default=False,
        description="Scale each round's token rewards to variance 1",
        json_schema_extra=changes("weights"),
    )
    whiten_advantages: bool = Field(
        default=True,
        description="Scale each round's advantages to mean 0, variance 1",
        json_schema_extra=changes("weights"),
    )


class Options(PpoOptions, CheckpointOptions, MemoryOptions, AdapterOptions, RewardModelOptions, OptimiserOptions):
    """On torch a trained reward model can judge, too."""


class ValuedPolicy(Policy, Protocol):
    """A policy that also says how likely and how good answers are. Arrays are answers × (width − 1)."""

    def measure(self, tokens: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...

    def reference_logprobs(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]: ...

    def forward(self, module: Any, tokens: Any) -> tuple[Any, Any, Any]: ...


class Updates(Protocol):
    """The optimiser steps of a run, on either backend."""

    remembered: dict[str, list[float]]

    def __iter__(self) -> Any: ...

    def update(self, batch: Mapping[str, Any]) -> dict[str, float]: ...

    def report(self, metrics: Mapping[str, float]) -> None: ...


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Maximise the rewards of sampled answers with torch."""
    import torch

    from adapters.shared.quiet import quiet
    from adapters.trainers.torch.common import huggingface
    from adapters.trainers.torch.common.torch_policy import TorchPolicy
    from adapters.trainers.torch.common.torch_steps import Steps

    must_have_columns(job, ("prompt",), trainer="ppo")
    must_divide(options)
    judge = judge_of(job, options)
    with quiet():
        model, tokenizer = huggingface.open_model(job)
        must_be_answerable(job, options, tokenizer, positions=huggingface.longest(model, 2**31))
        torch.manual_seed(job.seed)
        if options.adapter == "lora":
            from peft import get_peft_model

            model = get_peft_model(model, huggingface.lora(options))
        policy = TorchPolicy(model, tokenizer, options, device=job.device, needs_reference=options.beta > 0)
        steps = Steps(job, model, options, progress, loss_of(policy, options, torch), module=policy.module)
        learn(job, options, policy, steps, judge)
        return steps.result(tokenizer)


def learn(job: TrainingJob, options: PpoOptions, policy: ValuedPolicy, steps: Updates, judge: Judge) -> None:
    """The algorithm, on either backend: Schulman 2017, algorithm 1, with one answer as one episode."""
    rollouts = Rollouts(job, options, policy, judge)
    for step in steps:
        rollout = rollouts.of_step(step)
        mask = rollout.mask
        logprobs, values = policy.measure(rollout.tokens)
        reference = policy.reference_logprobs(rollout.tokens) if options.beta else logprobs

        rewards = policy_gradient.token_rewards(rollout.scores, logprobs, reference, mask, beta=options.beta)
        if options.whiten_rewards:
            rewards = policy_gradient.whitened(rewards, mask, keep_mean=True)
        advantages = policy_gradient.advantages(rewards, values, mask, gamma=options.gamma, lam=options.lam)
        returns = policy_gradient.returns(advantages, values, mask)
        if options.whiten_advantages:
            advantages = policy_gradient.whitened(advantages, mask)

        experience = {
            "tokens": rollout.tokens,
            "weights": mask,
            "logprobs": logprobs,
            "values": values,
            "advantages": advantages.astype(np.float32),
            "returns": returns.astype(np.float32),
        }
        updates = [
            steps.update({name: part / part.sum() if name == "weights" else part for name, part in batch.items()})
            for batch in _mini_batches(experience, options, np.random.default_rng([job.seed, step]))
        ]
        metrics = {name: float(np.mean([update[name] for update in updates])) for name in updates[0]}
        if options.beta:
            metrics["kl"] = float(((logprobs - reference) * mask).sum() / mask.sum())
        steps.remembered.setdefault("reward_std", []).append(rollout.metrics["reward_std"])
        steps.remembered.setdefault("cut_off", []).append(rollout.metrics["cut_off"])
        steps.report({**rollout.metrics, **metrics})
    must_have_ended_sometimes(steps.remembered.get("cut_off", []))
    rewards_must_have_varied(steps.remembered.get("reward_std", []), among="the answers of a round")


def loss_of(policy: ValuedPolicy, options: PpoOptions, xp: Any) -> Any:
    """L^CLIP + c₁ L^VF − c₂ S (Schulman 2017, eq. 9, as a loss): a mean over the tokens that were sampled."""

    def loss(module: Any, batch: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        logprobs, entropies, values = policy.forward(module, batch["tokens"])
        weights = batch["weights"]
        surrogate, held_back = policy_gradient.clipped_surrogate(
            logprobs, batch["logprobs"], batch["advantages"], epsilon=options.epsilon, xp=xp
        )
        errors = policy_gradient.clipped_value_loss(
            values, batch["values"], batch["returns"], epsilon=options.epsilon_value, xp=xp
        )
        policy_loss, value_loss = (surrogate * weights).sum(), (errors * weights).sum()
        entropy = (entropies * weights).sum()
        total = policy_loss + options.value_coef * value_loss - options.entropy_coef * entropy
        return total, {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "clipped": (held_back * weights).sum(),
        }

    return loss


def judge_of(job: TrainingJob, options: Options) -> Judge:
    """The judge that the options name: verifiable rewards, a trained reward model, or the sum of both."""
    from adapters.trainers.rewards import parse_rewards

    judges: list[Judge] = []
    if options.rewards.strip() or not options.reward_model:
        rewards = parse_rewards(options.rewards)
        rewards.must_fit(job.rows)
        judges.append(judged_by(rewards))
    if options.reward_model:
        from adapters.trainers.torch.common.reward_models import judged_by_model

        judges.append(judged_by_model(options.reward_model, device=job.device))

    def judge(texts: Sequence[str], rows: Sequence[Any]) -> Any:
        verdicts = [one(texts, rows) for one in judges]
        parts = {name: mean for _, named in verdicts for name, mean in named.items()}
        return np.sum([scores for scores, _ in verdicts], axis=0), parts

    return judge


def must_divide(options: PpoOptions) -> None:
    """Raise `InvalidConfigurationOptions` unless a round divides into mini-batches, and these into their parts."""
    for whole, part in (
        ("batch_size", "num_generations"),
        ("batch_size", "mini_batch_size"),
        ("mini_batch_size", "gradient_accumulation_steps"),
    ):
        size, of = getattr(options, whole), getattr(options, part)
        if size % of:
            raise InvalidConfigurationOptions(
                [f"option {whole!r} ({size}) must be a multiple of option {part!r} ({of})"]
            )


def _mini_batches(experience: Mapping[str, Any], options: PpoOptions, rng: np.random.Generator) -> Any:
    """The answers in a new order in each epoch, a mini-batch at a time."""
    for _ in range(options.ppo_epochs):
        order = rng.permutation(options.batch_size)
        for rows in order.reshape(-1, options.mini_batch_size):
            yield {name: values[rows] for name, values in experience.items()}
