"""Answers judged by a trained reward model, as the trainer `reward` makes them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.shared.conversations import completed, encode
from adapters.shared.opening import config_of, model_of, tokenizer_of
from adapters.trainers.batches import padded
from adapters.trainers.torch.common.rollouts import Judge
from domain.errors import InvalidInput
from domain.training import Row


def judged_by_model(source: str, *, device: str) -> Judge:
    """The score that the reward model gives to the prompt with the answer; reported as `reward_model`."""
    import torch
    from transformers import AutoModelForSequenceClassification

    try:
        config = config_of(source)
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"The option 'reward_model' names {source!r}, which cannot be opened: {str(error).splitlines()[0]}"
        ) from None
    if config.num_labels != 1 or not any("SequenceClassification" in name for name in config.architectures or ()):
        raise InvalidInput(
            f"The option 'reward_model' names {source!r}, which is no reward model with one score. Train one with the "
            "trainer 'reward'."
        )
    tokenizer = completed(tokenizer_of(source))
    model = model_of(AutoModelForSequenceClassification, source, dtype=torch.float32).to(device).eval()
    # The score is read at the last token that is not padding.
    model.config.pad_token_id = tokenizer.pad_token_id

    def judge(texts: Sequence[str], rows: Sequence[Row]) -> tuple[NDArray[np.float64], Mapping[str, float]]:
        answered = [encode(tokenizer, _answered(row, text)) for row, text in zip(rows, texts, strict=True)]
        tokens, _ = padded(answered)
        attended = np.zeros_like(tokens)
        for index, row in enumerate(answered):
            attended[index, : len(row.ids)] = 1
        tokens = np.where(attended, tokens, tokenizer.pad_token_id)
        with torch.no_grad():
            given = model(
                input_ids=torch.as_tensor(tokens, device=device),
                attention_mask=torch.as_tensor(attended, device=device),
            )
        scores = given.logits[:, 0].double().cpu().numpy()
        return scores, {"reward_model": float(scores.mean())}

    return judge


def _answered(row: Row, text: str) -> Mapping[str, object]:
    prompt = row["prompt"]
    return {
        "prompt": prompt,
        "completion": text if isinstance(prompt, str) else [{"role": "assistant", "content": text}],
    }
