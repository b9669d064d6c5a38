"""A causal language model of transformers as a policy: it answers, and says how likely and how good its answers are."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.turn_ends import ends_of

Ids = list[int]


class TorchPolicy:
    """The model to train with a value head on its last hidden states, and the frozen reference that it began as."""

    width_step = 1

    def __init__(self, model: Any, tokenizer: Any, options: Any, *, device: str, needs_reference: bool) -> None:
        import torch

        self.model, self.tokenizer, self._options, self._device = model.to(device), tokenizer, options, device
        self.ends = frozenset(ends_of(tokenizer, model.generation_config.eos_token_id))
        self.module = torch.nn.ModuleDict({"model": self.model})
        # Beginning at zero it expects nothing, which costs no random numbers and misleads nobody.
        head = torch.nn.Linear(model.config.get_text_config().hidden_size, 1, device=device)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        self.module["value_head"] = head
        self._reference = None
        if needs_reference and options.adapter == "none":
            self._reference = copy.deepcopy(self.model).requires_grad_(False).eval()
        self._needs_reference = needs_reference
        if options.gradient_checkpointing:
            self.model.enable_input_require_grads()
        self.model.config.use_cache = False

    def sample(self, prompts: Sequence[Ids]) -> list[Ids]:
        """An answer to each prompt, with the token that ended it if one did."""
        import torch

        width = max(map(len, prompts))
        pad = self.tokenizer.pad_token_id
        ids = [[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        with self._at_rest():
            generated = self.model.generate(
                input_ids=torch.tensor(ids, device=self._device),
                attention_mask=torch.tensor(mask, device=self._device),
                max_new_tokens=self._options.max_completion_length,
                do_sample=True,
                temperature=self._options.temperature,
                top_p=self._options.top_p,
                # What a base model's own generation settings would bend: the ratios are those of the plain model.
                top_k=0,
                repetition_penalty=1.0,
                pad_token_id=pad,
                eos_token_id=sorted(self.ends),
                use_cache=True,
            )
        return [_until_end(answer, self.ends) for answer in generated[:, width:].tolist()]

    def measure(self, tokens: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Of each token but the first, its log-probability, and the value of the position before it."""
        import torch

        logprobs, values = [], []
        with self._at_rest():
            for part in self._parts(tokens):
                measured, _, valued = self.forward(self.module, torch.as_tensor(part, device=self._device))
                logprobs.append(measured.float().cpu().numpy())
                values.append(valued.float().cpu().numpy())
        return np.concatenate(logprobs), np.concatenate(values)

    def reference_logprobs(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of each token but the first, its log-probability under the model as it was before the training."""
        import torch

        without_adapter = self.model.disable_adapter() if self._reference is None else nullcontext()
        model = self.model if self._reference is None else self._reference
        with self._at_rest(), without_adapter:
            measured = [
                self._logprobs(model(input_ids=ids, use_cache=False).logits, ids)[0].float().cpu().numpy()
                for part in self._parts(tokens)
                for ids in [torch.as_tensor(part, device=self._device)]
            ]
        return np.concatenate(measured)

    def forward(self, module: Any, tokens: Any) -> tuple[Any, Any, Any]:
        """Of each token but the first: its log-probability, the entropy it was drawn with, the value before it."""
        with self._precision():
            output = module["model"](input_ids=tokens, use_cache=False, output_hidden_states=True)
            values = module["value_head"](output.hidden_states[-1][:, :-1].float()).squeeze(-1)
        logprobs, entropies = self._logprobs(output.logits, tokens)
        return logprobs, entropies, values.float()

    def _logprobs(self, logits: Any, tokens: Any) -> tuple[Any, Any]:
        everything = (logits[:, :-1].float() / self._options.temperature).log_softmax(-1)
        chosen = everything.gather(-1, tokens[:, 1:, None]).squeeze(-1)
        return chosen, -(everything.exp() * everything).sum(-1)

    def _parts(self, tokens: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return np.array_split(tokens, min(len(tokens), self._options.gradient_accumulation_steps))

    def _precision(self) -> Any:
        import torch

        dtype = self._options.dtype
        on = dtype == "bfloat16" or (dtype == "auto" and self._device == "cuda" and torch.cuda.is_bf16_supported())
        return torch.autocast(self._device, dtype=torch.bfloat16, enabled=on)

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """Neither dropout nor gradients; afterwards the model is ready to be trained again."""
        import torch

        if self._options.gradient_checkpointing:
            self.model.gradient_checkpointing_disable()
        self.module.eval()
        with torch.no_grad(), self._precision():
            yield
        self.module.train()
        if self._options.gradient_checkpointing:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def _until_end(answer: Ids, ends: frozenset[int]) -> Ids:
    return next((answer[: place + 1] for place, token in enumerate(answer) if token in ends), answer)
