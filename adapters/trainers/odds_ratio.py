"""The loss of odds-ratio preference optimisation (Hong et al. 2024) on torch, and the trainer that minimises it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapters.trainers.batches import padded
from adapters.trainers.encoded_pairs import SIDES, EncodedPair

if TYPE_CHECKING:
    from torch import Tensor


def log_odds_ratio(chosen: "Tensor", rejected: "Tensor") -> "Tensor":
    """log of odds(y_w)/odds(y_l) with odds = P/(1−P), from mean log-probabilities (Hong 2024, eqs. 4 and 5)."""
    import torch

    def log_odds(logprob: "Tensor") -> "Tensor":
        # Just below zero: an answer that is certain would have infinite odds.
        logprob = logprob.clamp(max=-1e-6)
        return logprob - torch.log(-torch.expm1(logprob))

    return log_odds(chosen) - log_odds(rejected)


def collated(pairs: Sequence[Mapping[str, EncodedPair]]) -> dict[str, "Tensor"]:
    """Pairs as one batch, chosen answers first: tokens, what is attended, and 1 for each token of an answer."""
    import torch

    rows = [getattr(row["pair"], side) for side in SIDES for row in pairs]
    tokens, answer = padded(rows)
    attended = torch.zeros(tokens.shape, dtype=torch.long)
    for index, row in enumerate(rows):
        attended[index, : len(row.ids)] = 1
    return {
        "input_ids": torch.from_numpy(tokens),
        "attention_mask": attended,
        "answer": torch.from_numpy(answer),
    }


def trainer_class(beta: float) -> type[Any]:
    """A Trainer of transformers whose loss is L_SFT + beta · L_OR of each pair (Hong 2024, eq. 6).

    L_SFT is the mean negative log-likelihood of the chosen answer's tokens given the prompt, L_OR = −log σ(log odds
    ratio); a batch's loss is the mean over its pairs.
    """
    import torch
    from transformers import Trainer

    class OddsRatioTrainer(Trainer):  # type: ignore[misc]  # of a library without types
        loss_is_scaled_for_ga = False  # a mean over the rows of a part

        def __init__(self, *args: Any, **parts: Any) -> None:
            super().__init__(*args, **parts)
            self._metrics: dict[str, dict[str, list[float]]] = {"train": defaultdict(list)}

        def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
            answer = inputs.pop("answer")[:, 1:]
            logits = model(**inputs, use_cache=False).logits[:, :-1].float()
            likely = logits.gather(-1, inputs["input_ids"][:, 1:, None])[..., 0] - logits.logsumexp(-1)
            chosen, rejected = ((likely * answer).sum(-1) / answer.sum(-1)).chunk(2)
            ratio = log_odds_ratio(chosen, rejected)
            self._metrics["train"]["log_odds_ratio"].append(ratio.mean().item())
            self._metrics["train"]["accuracy"].append((ratio > 0).float().mean().item())
            return (-chosen - beta * torch.nn.functional.logsigmoid(ratio)).mean()

        def log(self, logs: dict[str, float], *args: Any) -> None:
            parts = self._metrics["train"]
            super().log(logs | {name: sum(values) / len(values) for name, values in parts.items()}, *args)
            parts.clear()

    return OddsRatioTrainer
