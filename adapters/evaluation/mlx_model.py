"""A model of mlx-lm, with or without an adapter, as something that can be measured."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.evaluation.batches import in_batches, in_stretches
from adapters.shared.conversations import Asked, Encoded, completed, encode, prompt_ids
from adapters.shared.mlx_runtime import make_ready
from adapters.shared.opening import opened_on_mlx, tokenizer_of
from adapters.shared.quiet import quiet
from adapters.turn_ends import ends_of
from domain.training import Row


@contextmanager
def opened(base_model: str, trained: Path | None, *, is_adapter: bool) -> "Iterator[MlxModel]":
    """The base model, what a training made of it, or the base model with the adapter that was trained."""
    make_ready()
    with quiet():
        source = str(trained) if trained and not is_adapter else base_model
        model, wrapped = opened_on_mlx(source, trained if is_adapter else None)
        model.eval()
        tokenizer = completed(tokenizer_of(source))
        wrapped.eos_token_ids = ends_of(tokenizer, wrapped.eos_token_ids)
        yield MlxModel(model, tokenizer, wrapped)


class MlxModel:
    """Measures in batches of rows of like length, so that little is spent on padding."""

    says = True

    def __init__(self, model: Any, tokenizer: Any, wrapped: Any) -> None:
        self._model, self._tokenizer, self._wrapped = model, tokenizer, wrapped

    def tokens_in(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def say(
        self,
        prompts: Sequence[Asked],
        *,
        longest: int,
        seed: int,
        temperature: float = 1.0,
    ) -> list[str]:
        import mlx.core as mx
        from mlx_lm.generate import batch_generate
        from mlx_lm.sample_utils import make_sampler

        mx.random.seed(seed)
        longest = min(longest, max(1, self._room // 2))
        # The end of a prompt asks; what lies before the model's first position cannot be heard.
        asked = [prompt_ids(self._tokenizer, prompt)[longest - self._room :] for prompt in prompts]
        answers = batch_generate(
            self._model,
            self._wrapped,
            asked,
            max_tokens=longest,
            sampler=make_sampler(temp=temperature),
            return_token_ids=True,
            completion_batch_size=256,
            prefill_batch_size=256,
        )
        ends = self._wrapped.eos_token_ids
        said = [[token for token in ids if token not in ends] for ids in answers.token_ids]
        return [self._tokenizer.decode(ids, skip_special_tokens=True) for ids in said]

    def log_likelihoods(self, rows: Sequence[Row]) -> list[tuple[float, int]]:
        encoded = [encode(self._tokenizer, row).cut_to(self._room) for row in rows]
        measured: dict[int, tuple[float, int]] = {}
        for batch in in_batches([len(row.ids) for row in encoded], vocabulary=self._vocabulary):
            measured.update(zip(batch, self._measure([encoded[i] for i in batch]), strict=True))
        return [measured[i] for i in range(len(rows))]

    def values(self, rows: Sequence[Row]) -> list[float]:
        return [total / max(1, tokens) for total, tokens in self.log_likelihoods(rows)]

    @property
    def _room(self) -> int:
        return int(getattr(self._model.args, "max_position_embeddings", None) or 4096)

    @property
    def _vocabulary(self) -> int:
        return len(self._tokenizer)

    def _measure(self, batch: Sequence[Encoded]) -> list[tuple[float, int]]:
        import mlx.core as mx
        from mlx import nn
        from mlx_lm.models.cache import make_prompt_cache

        width = max(len(row.ids) for row in batch)
        # Padded on the right, the causal mask alone keeps padding out of every real position.
        ids = mx.array([row.ids + [0] * (width - len(row.ids)) for row in batch])
        counted = mx.array([row.learned + [False] * (width - len(row.ids)) for row in batch])[:, 1:]
        stretches = list(in_stretches(width - 1, rows=len(batch), vocabulary=self._vocabulary))
        # What the model knows of one stretch it keeps for the next, as it does while it answers.
        cache = make_prompt_cache(self._model) if len(stretches) > 1 else None
        totals: Any = mx.zeros(len(batch))
        for places in stretches:
            logits = self._model(ids[:, :-1][:, places], cache=cache).astype(mx.float32)
            losses = nn.losses.cross_entropy(logits, ids[:, 1:][:, places]) * counted[:, places]
            totals = totals - losses.sum(-1)
            mx.eval(totals)
        counts: Any = counted.sum(-1)
        return [(float(total), int(count)) for total, count in zip(totals, counts, strict=True)]
