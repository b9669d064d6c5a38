"""Proximal Policy Optimisation on MLX: the algorithm of ppo.py, with a policy of mlx-lm.

Loss: −min(ρ̂A, clip(ρ̂, 1−ε, 1+ε)A) of each token (arXiv:1707.06347, eq. 7) with advantages by GAE (arXiv:1506.02438,
eq. 16), plus the squared error of the value head.
"""

from pydantic import Field

from adapters.trainers.mlx.mlx_steps import StepOptions
from adapters.trainers.torch.ppo import PpoOptions, learn, loss_of, must_divide
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(PpoOptions, StepOptions):
    learning_rate: float = Field(
        default=1e-4,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Maximise the rewards of sampled answers on MLX."""
    from adapters.trainers.mlx.mlx_models import open_model, positions
    from adapters.trainers.mlx.mlx_policy import MlxValuedPolicy
    from adapters.trainers.mlx.mlx_steps import Steps
    from adapters.trainers.rewards import parse_rewards
    from adapters.trainers.shapes import must_have_columns
    from adapters.trainers.torch.common.rollouts import judged_by, must_be_answerable

    must_have_columns(job, ("prompt",), trainer="mlx-ppo")
    must_divide(options)
    rewards = parse_rewards(options.rewards)
    rewards.must_fit(job.rows)
    opened = open_model(job, options)
    must_be_answerable(job, options, opened.tokenizer, positions=positions(opened.model))
    import mlx.core as mx

    policy = MlxValuedPolicy(opened, options, base_model=job.base_model)
    steps = Steps(job, opened, options, progress, loss_of(policy, options, mx), module=policy.module)
    learn(job, options, policy, steps, judged_by(rewards))
    return steps.result()
