"""A model of transformers, with or without an adapter, as something that can be measured."""

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from adapters.evaluation.batches import in_batches, in_stretches
from adapters.shared.conversations import Asked, Encoded, completed, encode, prompt_ids
from adapters.shared.opening import model_of, tokenizer_of
from adapters.shared.quiet import quiet
from adapters.turn_ends import ends_of
from domain.training import Row

T = TypeVar("T")


@contextmanager
def opened(base_model: str, trained: Path | None, device: str, *, is_adapter: bool) -> "Iterator[TorchModel]":
    """The base model, what a training made of it, or the base model with the adapter that was trained."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    # What is measured leaves no trace in the random numbers that a training draws later.
    with quiet(), torch.random.fork_rng(), torch.inference_mode():
        source = str(trained) if trained and not is_adapter else base_model
        dtype = torch.bfloat16 if device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
        scores = trained is not None and _gives_scores(trained)
        kind, how = (AutoModelForSequenceClassification, {"num_labels": 1}) if scores else (AutoModelForCausalLM, {})
        model = model_of(kind, source, dtype=dtype, **how)
        if trained and is_adapter:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(trained))
        tokenizer = completed(tokenizer_of(str(trained) if trained else base_model))
        yield (RewardModel if scores else TorchModel)(model.to(device).eval(), tokenizer, device)


def _gives_scores(trained: Path) -> bool:
    """Whether a folder holds a reward model, or the adapter of one."""
    for file, key in (("config.json", "architectures"), ("adapter_config.json", "task_type")):
        if (trained / file).is_file():
            said = str(json.loads((trained / file).read_bytes()).get(key))
            return "ForSequenceClassification" in said or "SEQ_CLS" in said
    return False


class TorchModel:
    """Measures in batches of rows of like length, so that little is spent on padding."""

    says = True

    def __init__(self, model: Any, tokenizer: Any, device: str) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device

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
        import torch

        torch.manual_seed(seed)
        longest = min(longest, max(1, self._room // 2))
        # The end of a prompt asks; what lies before the model's first position cannot be heard.
        asked = [prompt_ids(self._tokenizer, prompt)[longest - self._room :] for prompt in prompts]
        ends = ends_of(self._tokenizer, self._model.generation_config.eos_token_id)
        said: dict[int, str] = {}
        for batch in in_batches([len(ids) + longest for ids in asked]):
            width = max(len(asked[i]) for i in batch)
            pad = self._tokenizer.pad_token_id
            ids = torch.tensor([[pad] * (width - len(asked[i])) + asked[i] for i in batch], device=self._device)
            mask = torch.tensor(
                [[0] * (width - len(asked[i])) + [1] * len(asked[i]) for i in batch], device=self._device
            )
            generated = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=longest,
                **_sampling(temperature),
                pad_token_id=pad,
                eos_token_id=ends,
            )
            answers = [[token for token in answer if token not in ends] for answer in generated[:, width:].tolist()]
            said.update(zip(batch, self._tokenizer.batch_decode(answers, skip_special_tokens=True), strict=True))
        return [said[i] for i in range(len(prompts))]

    def values(self, rows: Sequence[Row]) -> list[float]:
        return [total / max(1, tokens) for total, tokens in self.log_likelihoods(rows)]

    def log_likelihoods(self, rows: Sequence[Row]) -> list[tuple[float, int]]:
        return self._in_batches(rows, self._measure)

    def _in_batches(self, rows: Sequence[Row], measure: Callable[[Sequence[Encoded]], list[T]]) -> list[T]:
        encoded = [encode(self._tokenizer, row).cut_to(self._room) for row in rows]
        measured: dict[int, T] = {}
        for batch in in_batches([len(row.ids) for row in encoded], vocabulary=self._vocabulary):
            measured.update(zip(batch, measure([encoded[i] for i in batch]), strict=True))
        return [measured[i] for i in range(len(rows))]

    @property
    def _room(self) -> int:
        return int(getattr(self._model.config, "max_position_embeddings", None) or 4096)

    def _measure(self, batch: Sequence[Encoded]) -> list[tuple[float, int]]:
        import torch

        width = max(len(row.ids) for row in batch)
        pad = self._tokenizer.pad_token_id
        # Padded on the right, the causal mask alone keeps padding out of every real position.
        ids = torch.tensor([row.ids + [pad] * (width - len(row.ids)) for row in batch], device=self._device)
        learned = torch.tensor([row.learned + [False] * (width - len(row.ids)) for row in batch], device=self._device)
        counted = learned[:, 1:]
        stretches = list(in_stretches(width - 1, rows=len(batch), vocabulary=self._vocabulary))
        if not self._keeps_some or len(stretches) < 2:
            # An adapter's virtual tokens stand before those of the row.
            logits = self._model(input_ids=ids, use_cache=False).logits[:, -width:][:, :-1]
            likely = _logprobs(logits, ids[:, 1:])
        else:
            likely = torch.zeros(counted.shape, device=self._device)
            for places in stretches:
                if counted[:, places].any():
                    kept = torch.arange(places.start, places.stop, device=self._device) + self._virtual_tokens
                    logits = self._model(input_ids=ids, use_cache=False, logits_to_keep=kept).logits
                    likely[:, places] = _logprobs(logits, ids[:, 1:][:, places])
        totals, counts = (likely * counted).sum(-1).tolist(), counted.sum(-1).tolist()
        return list(zip(totals, counts, strict=True))

    @property
    def _vocabulary(self) -> int:
        return int(self._model.config.get_text_config().vocab_size)

    @property
    def _keeps_some(self) -> bool:
        """Whether the model can be asked for the predictions at some places alone."""
        plain = self._model.get_base_model() if hasattr(self._model, "get_base_model") else self._model
        return "logits_to_keep" in inspect.signature(plain.forward).parameters

    @property
    def _virtual_tokens(self) -> int:
        adapter: Any = getattr(self._model, "active_peft_config", None)
        return int(adapter.num_virtual_tokens) if getattr(adapter, "is_prompt_learning", False) else 0


def _logprobs(logits: Any, tokens: Any) -> Any:
    """Of each token its log-probability, without a second array of the logits' size that is kept."""
    logits = logits.float()
    return logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(-1)


class RewardModel(TorchModel):
    """A model that scores a whole conversation; it neither says anything nor finds anything likely."""

    says = False

    @property
    def _vocabulary(self) -> int:
        return 1  # one score is all that it predicts

    def values(self, rows: Sequence[Row]) -> list[float]:
        return self._in_batches(rows, self._score)

    def _score(self, batch: Sequence[Encoded]) -> list[float]:
        import torch

        width = max(len(row.ids) for row in batch)
        pad = self._tokenizer.pad_token_id
        ids = torch.tensor([row.ids + [pad] * (width - len(row.ids)) for row in batch], device=self._device)
        mask = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in batch], device=self._device)
        scores: list[float] = self._model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()
        return scores


def _sampling(temperature: float) -> dict[str, Any]:
    if temperature == 0:
        return {"do_sample": False}
    return {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
