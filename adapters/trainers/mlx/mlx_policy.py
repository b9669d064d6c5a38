"""A model of mlx-lm as a policy: it answers, and says how likely and how good its answers are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.trainers.mlx.mlx_models import Opened, width_step
from domain.errors import InvalidBaseModel

Ids = list[int]


class MlxPolicy:
    """The model to train. Its reference are the weights that it had when this was made."""

    def __init__(self, opened: Opened, options: Any) -> None:
        self.model, self.tokenizer, self.ends = opened.model, opened.tokenizer, opened.ends
        self.module = self.model
        self.width_step = width_step()
        self._options = options
        # Arrays never change; an update puts others in their place. So these cost nothing until then.
        self._at_first = self.model.trainable_parameters()

    def sample(self, prompts: Sequence[Ids]) -> list[Ids]:
        """An answer to each prompt, with the token that ended it if one did."""
        from mlx_lm.generate import BatchGenerator
        from mlx_lm.sample_utils import make_sampler

        with self._at_rest():
            generator = BatchGenerator(
                self.model,
                max_tokens=self._options.max_completion_length,
                stop_tokens=[[token] for token in sorted(self.ends)],
                sampler=make_sampler(temp=self._options.temperature, top_p=self._options.top_p),
                completion_batch_size=len(prompts),
                prefill_batch_size=len(prompts),
            )
            answers: dict[int, Ids] = {uid: [] for uid in generator.insert([list(prompt) for prompt in prompts])}
            while responses := generator.next_generated():
                for response in responses:
                    answers[response.uid].append(response.token)
            generator.close()
        return list(answers.values())

    def logprobs(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of each token but the first, its log-probability. Answers × (width − 1)."""
        import mlx.core as mx

        with self._at_rest():
            measured = [np.array(self._measured(mx.array(part))[0]) for part in self._parts(tokens)]
        return np.concatenate(measured)

    def reference_logprobs(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """The same under the model as it was before the training."""
        now = self.model.trainable_parameters()
        self.model.update(self._at_first)
        try:
            return self.logprobs(tokens)
        finally:
            self.model.update(now)

    def forward(self, module: Any, tokens: Any) -> tuple[Any, ...]:
        """Of each token but the first: its log-probability, and the entropy it was drawn with."""
        return self._measured(tokens)

    def _measured(self, tokens: Any) -> tuple[Any, Any]:
        import mlx.core as mx

        logits = self.model(tokens[:, :-1]).astype(mx.float32) / self._options.temperature
        everything = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        chosen = mx.take_along_axis(everything, tokens[:, 1:, None], axis=-1).squeeze(-1)
        return chosen, -(mx.exp(everything) * everything).sum(-1)

    def _parts(self, tokens: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return np.array_split(tokens, min(len(tokens), self._options.gradient_accumulation_steps))

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """Without dropout; afterwards the model is ready to be trained again."""
        self.module.eval()
        try:
            yield
        finally:
            self.module.train()


class MlxValuedPolicy(MlxPolicy):
    """The same with a value head on its last hidden states."""

    def __init__(self, opened: Opened, options: Any, *, base_model: str) -> None:
        import mlx.core as mx
        from mlx import nn

        super().__init__(opened, options)
        self._hidden_states = _remembered_hidden_states(self.model, base_model)
        self.model(mx.array([[0]]))
        head = nn.Linear(self._hidden_states.pop().shape[-1], 1)
        # Beginning at zero it expects nothing, and misleads nobody.
        head.weight, head.bias = mx.zeros_like(head.weight), mx.zeros_like(head.bias)
        self.module = nn.Module()
        self.module.model, self.module.value_head = self.model, head

    def measure(self, tokens: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Of each token but the first, its log-probability, and the value of the position before it."""
        import mlx.core as mx

        logprobs, values = [], []
        with self._at_rest():
            for part in self._parts(tokens):
                measured, _, valued = self.forward(self.module, mx.array(part))
                logprobs.append(np.array(measured))
                values.append(np.array(valued))
        return np.concatenate(logprobs), np.concatenate(values)

    def forward(self, module: Any, tokens: Any) -> tuple[Any, ...]:
        """Of each token but the first: its log-probability, the entropy it was drawn with, the value before it."""
        import mlx.core as mx

        logprobs, entropies = self._measured(tokens)
        values = module.value_head(self._hidden_states.pop().astype(mx.float32)).squeeze(-1)
        return logprobs, entropies, values


def _remembered_hidden_states(model: Any, base_model: str) -> list[Any]:
    """Where the last hidden states of the latest call are from now on found.

    MLX has no hooks. So the part of the model that ends in them becomes of a class that keeps what it gave.
    """
    body = getattr(model, "model", None) or getattr(getattr(model, "language_model", None), "model", None)
    if body is None:
        raise InvalidBaseModel(f"{base_model} has no body that a value head could be put on. Train it with mlx-grpo.")
    kept: list[Any] = []
    plain = type(body)

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        hidden = plain.__call__(self, *args, **kwargs)
        kept[:] = [hidden]
        return hidden

    body.__class__ = type(plain.__name__, (plain,), {"__call__": called})
    return kept
