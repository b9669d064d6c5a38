"""A model's own answers to a step's prompts, and what they are worth: what learning from rewards begins with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from adapters.conversations import Encoded, asked_of, prompt_ids
from adapters.trainers.batches import padded
from adapters.trainers.rewards import Rewards
from adapters.trainers.row_order import rows_of_step
from domain.answers import text_of
from domain.errors import InvalidConfigurationOptions, InvalidInput
from domain.training import Row, TrainingJob

Ids = list[int]


class Policy(Protocol):
    """A model that answers. `ends` are the tokens at which an answer ends; an answer holds the one it ended with."""

    @property
    def tokenizer(self) -> Any: ...

    @property
    def ends(self) -> frozenset[int]: ...

    @property
    def width_step(self) -> int: ...

    def sample(self, prompts: Sequence[Ids]) -> list[Ids]: ...


Judge = Callable[[Sequence[str], Sequence[Row]], tuple[NDArray[np.float64], Mapping[str, float]]]


@dataclass(frozen=True)
class Rollout:
    """A step's answers with their scores.

    `tokens` are answers × width: prompt, answer, padding. `mask` is answers × (width − 1) and belongs to predictions:
    it is 1 where the token that follows was sampled as part of an answer. `metrics` describe the answers.
    """

    tokens: NDArray[np.int64]
    mask: NDArray[np.float32]
    scores: NDArray[np.float64]
    metrics: Mapping[str, float]


class Rollouts:
    """Samples and judges the answers of each step. Which prompts a step has depends on the seed and its number."""

    def __init__(self, job: TrainingJob, options: Any, policy: Policy, judge: Judge) -> None:
        self._job, self._options, self._policy, self._judge = job, options, policy, judge
        self._prompts = [prompt_ids(policy.tokenizer, asked_of(row)) for row in job.rows]

    def of_step(self, step: int) -> Rollout:
        options, policy = self._options, self._policy
        chosen = [
            row
            for row in rows_of_step(
                step,
                rows=len(self._prompts),
                batch_size=options.batch_size // options.num_generations,
                seed=self._job.seed,
            )
            for _ in range(options.num_generations)
        ]
        prompts = [self._prompts[row] for row in chosen]
        answers = policy.sample(prompts)
        ended = [bool(answer) and answer[-1] in policy.ends for answer in answers]
        texts = [
            policy.tokenizer.decode([token for token in answer if token not in policy.ends], skip_special_tokens=True)
            for answer in answers
        ]
        scores, parts = self._judge(texts, [self._job.rows[row] for row in chosen])
        rows = [
            Encoded([*prompt, *answer], [False] * len(prompt) + [True] * len(answer))
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        tokens, sampled = padded(rows, multiple_of=policy.width_step)
        metrics = {
            "reward": float(scores.mean()),
            "reward_std": float(scores.std()),
            **parts,
            "completion_length": float(np.mean([len(answer) for answer in answers])),
            "cut_off": 1.0 - float(np.mean(ended)),
        }
        return Rollout(tokens, sampled[:, 1:], scores, metrics)


def judged_by(rewards: Rewards) -> Judge:
    """Answers judged by rewards that a program verifies: the weighted sum, and the mean of each under its name."""

    def judge(texts: Sequence[str], rows: Sequence[Row]) -> tuple[NDArray[np.float64], Mapping[str, float]]:
        each = {
            reward.name: np.array([reward.judge(text, row) for text, row in zip(texts, rows, strict=True)])
            for reward in rewards.rewards
        }
        total = sum(reward.weight * each[reward.name] for reward in rewards.rewards)
        return np.asarray(total, np.float64), {f"reward_{name}": float(given.mean()) for name, given in each.items()}

    return judge


def must_be_answerable(job: TrainingJob, options: Any, tokenizer: Any, *, positions: int | None) -> None:
    """Raise `InvalidInput` unless groups fit the batch, and every prompt leaves room for an answer."""
    if options.batch_size % options.num_generations:
        raise InvalidConfigurationOptions(
            [
                f"option 'batch_size' ({options.batch_size}) must be a multiple of option 'num_generations' "
                f"({options.num_generations})"
            ]
        )
    for number, row in enumerate(job.rows, start=1):
        length = len(prompt_ids(tokenizer, asked_of(row)))
        if positions is not None and length + options.max_completion_length > positions:
            raise InvalidInput(
                f"The prompt of training row {number} has {length} tokens, and with {options.max_completion_length} "
                f"more for the answer it does not fit into the model's {positions}. Shorten it, or lower "
                f"max_completion_length. It begins: {text_of(row['prompt'])[:60]!r}"
            )
