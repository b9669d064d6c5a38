"""Group Relative Policy Optimization on MLX (Shao 2024): of several answers to a prompt, those better than their
group's mean become likelier and the others less likely, without a value model.

The mathematics is in policy_gradient.py, each piece with its equation.

Loss: the clipped objective −min(ρ̂A, clip(ρ̂, 1−ε, 1+ε)A) of each token, where A is the answer's reward less its
group's mean, over the group's standard deviation, and ρ̂ the token's likelihood over that when it was sampled
(arXiv:2402.03300, eqs. 3 and 4).
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from adapters.trainers import policy_gradient
from adapters.trainers.common_options import PolicyGradientOptions, RewardOptions, SamplingOptions
from adapters.trainers.mlx.mlx_steps import StepOptions
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(RewardOptions, SamplingOptions, PolicyGradientOptions, StepOptions):
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
    learning_rate: float = Field(
        default=1e-4,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )
    num_iterations: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Updates of the weights from each round's answers",
        json_schema_extra=changes("weights"),
    )
    loss_type: Literal["dapo", "grpo", "dr_grpo"] = Field(
        default="dapo",
        description="How tokens are weighted: alike in the whole batch (dapo), in their answer (grpo), by the longest "
        "answer (dr_grpo)",
        json_schema_extra=changes("weights"),
    )
    scale_rewards: Literal["group", "batch", "none"] = Field(
        default="group",
        description="Whose standard deviation the advantages are divided by",
        json_schema_extra=changes("weights", beside={"batch_size": 16}),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Maximise the rewards of sampled answers, relative to those of the same prompt's other answers."""
    from adapters.trainers import bad_results
    from adapters.trainers.mlx.mlx_models import open_model, positions
    from adapters.trainers.mlx.mlx_policy import MlxPolicy
    from adapters.trainers.mlx.mlx_steps import Steps
    from adapters.trainers.rewards import parse_rewards
    from adapters.trainers.shapes import must_have_columns
    from adapters.trainers.torch.common.rollouts import Rollouts, judged_by, must_be_answerable

    must_have_columns(job, ("prompt",), trainer="mlx-grpo")
    rewards = parse_rewards(options.rewards)
    rewards.must_fit(job.rows)
    opened = open_model(job, options)
    must_be_answerable(job, options, opened.tokenizer, positions=positions(opened.model))
    policy = MlxPolicy(opened, options)
    steps = Steps(job, opened, options, progress, loss_of(policy, options))
    rollouts = Rollouts(job, options, policy, judged_by(rewards))
    for step in steps:
        rollout = rollouts.of_step(step)
        advantages = policy_gradient.group_advantages(
            rollout.scores, options.num_generations, scale=options.scale_rewards
        )
        experience = {
            "tokens": rollout.tokens,
            "weights": token_weights(rollout.mask, options),
            "logprobs": policy.logprobs(rollout.tokens),
            "advantages": np.broadcast_to(advantages[:, None], rollout.mask.shape).astype(np.float32),
        }
        if options.beta:
            experience["reference"] = policy.reference_logprobs(rollout.tokens)
        for _ in range(options.num_iterations):
            metrics = steps.update(experience)
        varied = rollout.scores.reshape(-1, options.num_generations).std(axis=1).max()
        steps.remembered.setdefault("deviation", []).append(float(varied))
        steps.remembered.setdefault("cut_off", []).append(rollout.metrics["cut_off"])
        steps.report({**rollout.metrics, **metrics})
    bad_results.must_have_ended_sometimes(steps.remembered.get("cut_off", []))
    bad_results.rewards_must_have_varied(steps.remembered.get("deviation", []))
    return steps.result()


def token_weights(mask: NDArray[np.float32], options: Options) -> NDArray[np.float32]:
    """What each sampled token counts: 1/Σ|o| (dapo), 1/(G|o|) (grpo, Shao 2024, eq. 3), 1/(G·longest) (dr_grpo)."""
    match options.loss_type:
        case "dapo":
            weights = mask / mask.sum()
        case "grpo":
            weights = mask / mask.sum(axis=1, keepdims=True).clip(1.0) / len(mask)
        case "dr_grpo":
            weights = mask / options.max_completion_length / len(mask)
    return np.asarray(weights, np.float32)


def loss_of(policy: Any, options: Options) -> Any:
    """The clipped surrogate with the divergence from the base model beside it (Shao 2024, eqs. 3 and 4, as a loss)."""

    def loss(module: Any, batch: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        import mlx.core as mx

        logprobs, entropies = policy.forward(module, batch["tokens"])
        weights = batch["weights"]
        counted = weights / weights.sum()
        surrogate, held_back = policy_gradient.clipped_surrogate(
            logprobs, batch["logprobs"], batch["advantages"], epsilon=options.epsilon, xp=mx
        )
        total = (surrogate * weights).sum()
        reported = {"entropy": (entropies * counted).sum(), "clipped": (held_back * counted).sum()}
        if options.beta:
            divergence = policy_gradient.divergence(logprobs, batch["reference"], xp=mx)
            total = total + options.beta * (divergence * weights).sum()
            reported["kl"] = (divergence * counted).sum()
        return total, reported

    return loss
