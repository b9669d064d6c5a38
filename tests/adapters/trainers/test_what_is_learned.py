"""The loss of a first step is that of exactly the tokens that are to be learned, by hand, on both backends."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.datasets.files.reading import RawRow
from adapters.datasets.rows import normalised
from adapters.shared.conversations import encode
from adapters.trainers import load
from domain.catalogue.method_spec import Backend
from domain.training import TrainingJob

pytestmark = pytest.mark.training

Jobs = Callable[..., TrainingJob]


def rows(*raw: dict[str, Any]) -> list[dict[str, Any]]:
    return [row.fields for row in normalised([RawRow(f"row {n}", row) for n, row in enumerate(raw)])]


def first_loss(trainer: str, job: TrainingJob, heard: Any, **options: Any) -> float:
    code = load(trainer)
    code.train(
        job,
        code.Options(max_steps=1, batch_size=len(job.rows), save_steps=0, learning_rate=1e-4, **options),
        heard,
    )
    return float(heard.told[0][2]["loss"])


def loss_of(base_model: str, texts: Sequence[Sequence[tuple[str, bool]]]) -> float:
    """Mean negative log-likelihood of the marked pieces, in plain torch."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_model)
    model = AutoModelForCausalLM.from_pretrained(base_model, dtype=torch.float32).eval()
    total, count = 0.0, 0
    for pieces in texts:
        parts = [(tokenizer.encode(text, add_special_tokens=False), learned) for text, learned in pieces]
        ids = torch.tensor([[token for part, _ in parts for token in part]])
        learned = torch.tensor([is_so for part, is_so in parts for _ in part])[1:]
        with torch.no_grad():
            likely = torch.log_softmax(model(ids).logits[0, :-1], -1).gather(-1, ids[0, 1:, None])[:, 0]
        total, count = total - float(likely[learned].sum()), count + int(learned.sum())
    return total / count


def on(trainer: str, job: Jobs, data: list[dict[str, Any]]) -> TrainingJob:
    if trainer.startswith("mlx"):
        return job(rows=data, backend=Backend.MLX, device="mlx")
    return job(rows=data)


@pytest.mark.parametrize("trainer", ["sft", "mlx-lora"])
@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}])
def test_answers_that_are_not_to_be_learned_are_not(
    trainer: str, mark: dict[str, Any], job: Jobs, hearing: Any
) -> None:
    data = rows(
        *(
            {
                "messages": [
                    {"role": "user", "content": f"1{n}+13="},
                    {"role": "assistant", "content": "WRONG WRONG", **mark},
                    {"role": "user", "content": "No. Again."},
                    {"role": "assistant", "content": f"<answer>{23 + n}</answer>"},
                ]
            }
            for n in range(3)
        )
    )
    run = on(trainer, job, data)

    by_hand = loss_of(
        run.base_model,
        [
            [
                (f"<|user|>1{n}+13=<|end|><|assistant|>WRONG WRONG<|end|>", False),
                ("<|user|>No. Again.<|end|><|assistant|>", False),
                (f"<answer>{23 + n}</answer><|end|>", True),
            ]
            for n in range(3)
        ],
    )

    assert first_loss(trainer, run, hearing()) == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize("trainer", ["sft", "mlx-lora"])
def test_a_completion_that_ends_already_is_not_ended_twice(trainer: str, job: Jobs, hearing: Any) -> None:
    run = on(trainer, job, [{"prompt": "1+1=", "completion": "2<|end|>"}, {"prompt": "1+2=", "completion": "3<|end|>"}])

    by_hand = loss_of(run.base_model, [[("1+1=", False), ("2<|end|>", True)], [("1+2=", False), ("3<|end|>", True)]])

    assert first_loss(trainer, run, hearing()) == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize(
    ("trainer", "answers"),
    [
        ("dpo", {"chosen": "2<|end|>", "rejected": "3"}),
        ("reward", {"chosen": "2<|end|>", "rejected": "3"}),
        ("kto", {"completion": "2<|end|>", "label": True}),
    ],
)
def test_trainers_of_trl_are_given_the_tokens_that_all_others_are(
    trainer: str, answers: dict[str, Any], job: Jobs, hearing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapters.trainers.torch.common import huggingface

    data = [
        {"prompt": "1+1=", **answers},
        {"prompt": "1+2=", **answers} | ({"label": False} if trainer == "kto" else {}),
    ]
    given: list[Any] = []
    kept = huggingface.run

    def watched(*args: Any, **parts: Any) -> Any:
        given.extend(parts["train_dataset"])
        return kept(*args, **parts)

    monkeypatch.setattr(huggingface, "run", watched)
    first_loss(trainer, on(trainer, job, data), hearing())

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job().base_model)
    for row, said in zip(data, given, strict=True):
        for side in ("chosen", "rejected", "completion"):
            if side in row:
                whole = encode(tokenizer, {"prompt": row["prompt"], "completion": row[side]}).ids
                assert [*said.get("prompt_ids", []), *said[f"{side}_ids"]] == whole
                assert whole.count(tokenizer.eos_token_id) == 1


@pytest.mark.parametrize("trainer", ["grpo", "rloo"])
def test_prompts_with_tools_are_asked_with_them(
    trainer: str, job: Jobs, hearing: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The base model's own template knows no tools, so it gets one that writes their names."""
    base = tmp_path / "base"
    shutil.copytree(job().base_model, base)
    (base / "chat_template.jinja").write_text(
        "{% for t in tools or [] %}{{ t.function.name }};{% endfor %}{% for m in messages %}{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    heard: list[str] = []

    def generate(self: Any, input_ids: Any, **how: Any) -> Any:
        heard.extend(tokenizer.batch_decode(input_ids))
        return kept(self, input_ids=input_ids, **how)

    from transformers import AutoTokenizer, GenerationMixin

    tokenizer = AutoTokenizer.from_pretrained(base)
    kept = GenerationMixin.generate
    monkeypatch.setattr(GenerationMixin, "generate", generate)
    tool = {"type": "function", "function": {"name": "add", "description": "Adds", "parameters": {}}}
    data = [
        {"prompt": [{"role": "user", "content": f"1+{n}="}], "answer": str(n + 1), "tools": [tool]} for n in range(4)
    ]
    code = load(trainer)

    code.train(
        job(rows=data, base_model=str(base)),
        code.Options(
            max_steps=1, batch_size=8, num_generations=4, max_completion_length=8, rewards="length(4)=1", save_steps=0
        ),
        hearing(),
    )

    assert len(heard) == 8
    assert {text.replace("<|pad|>", "") for text in heard} <= {f"add;1+{n}=<|assistant|>" for n in range(4)}
