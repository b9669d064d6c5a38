"""What is measured on held-out rows, and how figures come from what a model says or thinks likely."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from adapters.measuring_room import MOST_ROWS
from adapters.shared.conversations import Asked, answered, asked_of, prompt_of
from domain.ports import Answer, Device, Evaluation
from domain.runs.grading import expected_answer, is_right, reasons_before_it_answers, text_of
from domain.training import Row

ANSWERS_KEPT = 12
ANSWERS_SAMPLED = 3
MOST_TOKENS = 256


class Model(Protocol):
    """A model that is measured. It is asked in one process, and gives the same for the same seed."""

    def say(
        self,
        prompts: Sequence[Asked],
        *,
        longest: int,
        seed: int,
        temperature: float = 1.0,
    ) -> list[str]:
        """An answer to each prompt, of `longest` tokens at most; at temperature 0 the likeliest token each time."""
        ...

    def log_likelihoods(self, rows: Sequence[Row]) -> list[tuple[float, int]]:
        """Of each row the summed log-likelihood of its learned tokens, in nats, and how many these are."""
        ...

    def values(self, rows: Sequence[Row]) -> list[float]:
        """How much the model thinks of each row's completion: a reward model's score, or nats a token of likelihood."""
        ...

    @property
    def says(self) -> bool:
        """Whether it answers at all: a reward model does not."""
        ...

    def tokens_in(self, text: str) -> int: ...


def evaluate(
    base_model: str, trained: Path | None, held_out: Sequence[Row], *, device: Device, is_adapter: bool, seed: int
) -> Evaluation:
    """Measure the base model, or with `trained` what a training made of it.

    Rows whose end can be checked (an answer, or a demonstration that marks one) give `accuracy`, and `format` if they
    ask for reasoning; demonstrations and texts give `loss`; pairs give `preference_accuracy` and `margin`.
    """
    rows = held_out[:MOST_ROWS]
    with opened(base_model, trained, device=device, is_adapter=is_adapter) as model:
        if "chosen" in rows[0]:
            return _preferences(model, rows, seed)
        if "label" in rows[0]:
            return _wanted(model, rows, seed)
        metrics: dict[str, float] = {}
        answers: list[Answer] = []
        if all(expected_answer(row) is not None for row in rows):
            metrics, answers = _answers(model, rows, seed)
        if any(kind in rows[0] for kind in ("messages", "completion", "text")):
            metrics["loss"] = _loss(model, rows)
        return Evaluation(metrics, answers or _samples(model, rows, seed))


@contextmanager
def opened(base_model: str, trained: Path | None, *, device: Device, is_adapter: bool) -> Iterator[Model]:
    """The base model, or with `trained` what a training made of it, ready to be asked."""
    if device.name == "mlx":
        from adapters.evaluation import mlx_model

        with mlx_model.opened(base_model, trained, is_adapter=is_adapter) as on_mlx:
            yield on_mlx
    else:
        from adapters.evaluation import torch_model

        with torch_model.opened(base_model, trained, device.name, is_adapter=is_adapter) as on_torch:
            yield on_torch


def _answers(model: Model, rows: Sequence[Row], seed: int) -> tuple[dict[str, float], list[Answer]]:
    expected = [str(expected_answer(row)) for row in rows]
    said = model.say([asked_of(row) for row in rows], longest=_longest(model, rows), seed=seed)
    right = [is_right(text, answer) for text, answer in zip(said, expected, strict=True)]
    metrics = {
        "accuracy": sum(right) / len(rows),
        "format": sum(reasons_before_it_answers(text) for text in said) / len(rows),
    }
    shown = [
        Answer(prompt=_asked(row), expected=answer, said=text, right=is_so)
        for row, answer, text, is_so in zip(rows[:ANSWERS_KEPT], expected, said, right, strict=False)
    ]
    return metrics, shown


def _samples(model: Model, rows: Sequence[Row], seed: int) -> list[Answer]:
    """A few answers that nobody can mark, beside what the rows say; none of models that only judge."""
    asked = [row for row in rows if "text" not in row][:ANSWERS_SAMPLED] if model.says else []
    if not asked:
        return []
    wanted = [_wished(row) for row in asked]
    longest = min(MOST_TOKENS, max(16, max(map(model.tokens_in, wanted)) * 3 // 2))
    said = model.say([asked_of(row) for row in asked], longest=longest, seed=seed)
    return [
        Answer(prompt=_asked(row), expected=wish, said=text, right=None)
        for row, wish, text in zip(asked, wanted, said, strict=True)
    ]


def _wished(row: Row) -> str:
    if "messages" in row:
        return text_of(row["messages"][-1:])
    return text_of(row.get("chosen") or row.get("completion") or str(row.get("answer", "")))


def _longest(model: Model, rows: Sequence[Row]) -> int:
    """Room for an answer half again as long as the longest demonstration; 256 tokens where there is none."""
    if "answer" in rows[0] and "completion" not in rows[0]:
        return MOST_TOKENS
    return max(16, max(model.tokens_in(_demonstration(row)) for row in rows) * 3 // 2)


def _demonstration(row: Row) -> str:
    return text_of(row["completion"] if "completion" in row else row["messages"][-1:])


def _asked(row: Row) -> str:
    prompt = prompt_of(row)
    return prompt if isinstance(prompt, str) else text_of(prompt[-1:])


def _loss(model: Model, rows: Sequence[Row]) -> float:
    measured = model.log_likelihoods(rows)
    return -sum(total for total, _ in measured) / max(1, sum(tokens for _, tokens in measured))


def _preferences(model: Model, rows: Sequence[Row], seed: int) -> Evaluation:
    """How often the chosen answer is valued more than the rejected one, and by how much on average."""
    chosen = model.values([answered(row, "chosen") for row in rows])
    rejected = model.values([answered(row, "rejected") for row in rows])
    margins = [good - bad for good, bad in zip(chosen, rejected, strict=True)]
    return Evaluation(
        {
            "preference_accuracy": sum(margin > 0 for margin in margins) / len(margins),
            "margin": sum(margins) / len(margins),
        },
        _samples(model, rows, seed),
    )


def _wanted(model: Model, rows: Sequence[Row], seed: int) -> Evaluation:
    """Over all pairs of a wanted and an unwanted answer, as for pairs that belong together."""
    values = model.values(rows)
    good = [value for value, row in zip(values, rows, strict=True) if row["label"]]
    bad = [value for value, row in zip(values, rows, strict=True) if not row["label"]]
    if not good or not bad:
        return Evaluation({}, _samples(model, rows, seed))
    return Evaluation(
        {
            "preference_accuracy": sum(a > b for a in good for b in bad) / (len(good) * len(bad)),
            "margin": sum(good) / len(good) - sum(bad) / len(bad),
        },
        _samples(model, rows, seed),
    )
