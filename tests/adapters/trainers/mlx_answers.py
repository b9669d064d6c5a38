"""How often a model on MLX answers held-out additions rightly, sampled at temperature 1."""

import re
from pathlib import Path
from typing import Any

from adapters.shared.mlx_runtime import make_ready
from tests.adapters.trainers.running import SMALL_BASE, rows


def right_answers(trained: Path | None, *, is_adapter: bool = True, of: int = 100) -> float:
    """The share of right answers to the first held-out questions; None asks the base model."""
    make_ready()
    import mlx.core as mx
    from mlx_lm import load
    from mlx_lm.generate import BatchGenerator

    if trained is None:
        model, tokenizer = load(SMALL_BASE)
    else:
        model, tokenizer = load(SMALL_BASE, adapter_path=str(trained)) if is_adapter else load(str(trained))
    model.eval()
    mx.random.seed(7)
    asked = rows("grpo-demo", "held_out", first=of)
    generator = BatchGenerator(
        model,
        max_tokens=40,
        stop_tokens=[[token] for token in tokenizer.eos_token_ids],
        sampler=mx.random.categorical,
        completion_batch_size=of,
        prefill_batch_size=of,
    )
    prompts = [tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True) for row in asked]
    said: dict[int, list[int]] = {uid: [] for uid in generator.insert(prompts)}
    while responses := generator.next_generated():
        for response in responses:
            said[response.uid].append(response.token)
    generator.close()
    pairs = zip(said.values(), asked, strict=True)
    return sum(_answer(tokenizer.decode(tokens)) == row["answer"] for tokens, row in pairs) / of


def _answer(text: str) -> Any:
    found = re.search(r"<answer>(\d+)</answer>", text)
    return found and found[1]
