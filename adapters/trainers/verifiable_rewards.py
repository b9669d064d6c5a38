"""What trainers on trl that sample answers and reward them have in common: GRPO and RLOO."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.quiet import quiet
from adapters.trainers import bad_results
from adapters.trainers.rewards import Reward, Rewards, parse_rewards
from adapters.trainers.shapes import must_have_columns
from domain.answers import text_of
from domain.errors import InvalidConfigurationOptions
from domain.training import Progress, TrainingJob, TrainingResult


def train_on_rewards(
    name: str,
    job: TrainingJob,
    options: Any,
    progress: Progress,
    classes: Callable[[], tuple[type[Any], type[Any]]],
    **settings: Any,
) -> TrainingResult:
    """Train with one of trl's trainers, given by its config class and trainer class, on the rewards of the options.

    `settings` are the config's own, on top of what all such trainers take.
    """
    from adapters.trainers import huggingface

    must_have_columns(job, ("prompt",), trainer=name)
    if options.batch_size % options.num_generations:
        raise InvalidConfigurationOptions(
            [
                f"option 'batch_size' ({options.batch_size}) must be a multiple of option 'num_generations' "
                f"({options.num_generations})"
            ]
        )
    rewards = parse_rewards(options.rewards)
    rewards.must_fit(job.rows)
    with quiet():
        from datasets import Dataset

        config_class, trainer_class = classes()
        model, tokenizer = huggingface.open_model(job)
        return huggingface.run(
            trainer_class,
            job,
            progress,
            is_adapter=options.adapter == "lora",
            judge=_judge,
            model=model,
            args=config_class(
                **huggingface.arguments(job, options),
                num_generations=options.num_generations,
                max_completion_length=options.max_completion_length,
                temperature=options.temperature,
                top_p=options.top_p,
                reward_weights=[reward.weight for reward in rewards.rewards],
                **settings,
            ),
            train_dataset=Dataset.from_dict(
                {"prompt": [row["prompt"] for row in job.rows], "row": list(range(len(job.rows)))}
            ),
            processing_class=tokenizer,
            reward_funcs=_functions(rewards, job),
            peft_config=huggingface.adapter(options),
        )


def _functions(rewards: Rewards, job: TrainingJob) -> list[Callable[..., list[float]]]:
    """One function for each reward, as trl calls them; trl weights and adds up, and logs each by its name."""

    def function(reward: Reward) -> Callable[..., list[float]]:
        def judged(completions: Sequence[Any], row: Sequence[int], **_: Any) -> list[float]:
            return [reward.judge(text_of(said), job.rows[index]) for said, index in zip(completions, row, strict=True)]

        judged.__name__ = reward.name
        return judged

    return [function(reward) for reward in rewards.rewards]


def _judge(logged: Sequence[Mapping[str, Any]]) -> None:
    """Whether the run as a whole can be believed, from what trl logged at each step."""
    # A further step on the same answers logs nothing of them.
    sampled = [entry for entry in logged if "frac_reward_zero_std" in entry]
    bad_results.must_have_ended_sometimes([entry["completions/clipped_ratio"] for entry in sampled])
    bad_results.rewards_must_have_varied([1.0 - entry["frac_reward_zero_std"] for entry in sampled])
