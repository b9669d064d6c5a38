"""What trainers on trl that sample answers and reward them have in common: GRPO and RLOO."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.conversations import asked_of, prompt_ids
from adapters.quiet import quiet
from adapters.trainers import bad_results
from adapters.trainers.rewards import Reward, parse_rewards
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
    *,
    processes: int = 1,
    **settings: Any,
) -> TrainingResult:
    """Train with one of trl's trainers, given by its config class and trainer class, on the rewards of the options.

    `processes` share the answers of a step. `settings` are the config's own, on top of what all such trainers take.
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
    functions, weights = _judging(job, options)
    with quiet():
        from datasets import Dataset

        config_class, trainer_class = classes()
        model, tokenizer = huggingface.open_model(job)
        asked = [prompt_ids(tokenizer, asked_of(row)) for row in job.rows]
        return huggingface.run(
            _asking(trainer_class, asked),
            job,
            progress,
            is_adapter=options.adapter == "lora",
            judge=_judge,
            model=model,
            args=config_class(
                **huggingface.arguments(job, options, steps=options.max_steps, processes=processes),
                num_generations=options.num_generations,
                max_completion_length=options.max_completion_length,
                temperature=options.temperature,
                top_p=options.top_p,
                reward_weights=weights,
                **settings,
            ),
            train_dataset=Dataset.from_dict(
                {"prompt": [str(row) for row in range(len(asked))], "row": list(range(len(asked)))}
            ),
            processing_class=tokenizer,
            reward_funcs=functions,
            peft_config=huggingface.adapter(options),
        )


def _asking(trainer_class: type[Any], asked: Sequence[list[int]]) -> type[Any]:
    """The same trainer, which takes a prompt for the number of its row, and asks with the tokens of that."""

    class Asking(trainer_class):  # type: ignore[misc]  # of a library without types
        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [asked[int(row)] for row in prompts], None, {}

    return Asking


Function = Callable[..., list[float]]


def _judging(job: TrainingJob, options: Any) -> tuple[list[Function], list[float]]:
    """What trl calls for each reward that the options name, a trained reward model among them, and their weights.

    trl weights and adds up, and logs each by its name.
    """
    functions, weights = [], []
    if options.rewards.strip() or not options.reward_model:
        rewards = parse_rewards(options.rewards)
        rewards.must_fit(job.rows)
        functions = [_verified(reward, job) for reward in rewards.rewards]
        weights = [reward.weight for reward in rewards.rewards]
    if options.reward_model:
        functions.append(_scored(options.reward_model, job))
        weights.append(1.0)
    return functions, weights


def _verified(reward: Reward, job: TrainingJob) -> Function:
    def judged(completions: Sequence[Any], row: Sequence[int], **_: Any) -> list[float]:
        return [reward.judge(text_of(said), job.rows[index]) for said, index in zip(completions, row, strict=True)]

    judged.__name__ = reward.name
    return judged


def _scored(reward_model: str, job: TrainingJob) -> Function:
    from adapters.trainers.reward_models import judged_by_model

    judge = judged_by_model(reward_model, device=job.device)

    def judged(completions: Sequence[Any], row: Sequence[int], **_: Any) -> list[float]:
        said = [text_of(completion) for completion in completions]
        return [float(score) for score in judge(said, [job.rows[index] for index in row])[0]]

    judged.__name__ = "model"  # it is reported as reward_model, as PPO does
    return judged


def _judge(logged: Sequence[Mapping[str, Any]]) -> None:
    """Whether the run as a whole can be believed, from what trl logged at each step."""
    # A further step on the same answers logs nothing of them.
    sampled = [entry for entry in logged if "frac_reward_zero_std" in entry]
    bad_results.must_have_ended_sometimes([entry["completions/clipped_ratio"] for entry in sampled])
    bad_results.rewards_must_have_varied([1.0 - entry["frac_reward_zero_std"] for entry in sampled])
