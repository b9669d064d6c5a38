"""Optimiser steps on torch that can be interrupted after any of them and go on exactly; for trainers that are our own.

What a step depends on is in its checkpoint (weights, AdamW's moments, what the trainer remembers) or follows from the
seed and the step's number (rows, chance).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from adapters.trainers.bad_results import WatchedProgress, must_have_changed, must_have_taken_steps
from adapters.trainers.batches import Batch, in_parts
from adapters.trainers.row_order import seed_of_step
from adapters.trainers.schedules import learning_rate_at
from adapters.turn_ends import keep_ends
from domain.training import Progress, TrainingJob, TrainingResult

Loss = Callable[[Any, Batch], tuple[Any, Mapping[str, Any]]]


class Steps:
    """The steps of one run: iterate over those still to take, update within each, report, and ask for the result.

    `loss(module, batch)` gives a scalar, and scalars to report. All are sums over the rows of the batch (weights in the
    batch make them means), so that a batch computed in parts gives what it gives as a whole. `module` is what is
    trained: the model, or one that holds it beside other weights.
    """

    def __init__(
        self, job: TrainingJob, model: Any, options: Any, progress: Progress, loss: Loss, *, module: Any
    ) -> None:
        import torch

        self._job, self._model, self._module, self._options, self._loss = job, model, module, options, loss
        self._progress = WatchedProgress(progress)
        self._trained = {name: weights for name, weights in module.named_parameters() if weights.requires_grad}
        self._optimiser = torch.optim.AdamW(
            self._trained.values(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self._taken = 0
        self._metrics: Mapping[str, float] = {}
        self._before = _fingerprint(model)
        # What a trainer wants to know of earlier steps; it is kept in the checkpoints.
        self.remembered: dict[str, list[float]] = {}

    def __iter__(self) -> Iterator[int]:
        """The numbers of the steps still to take. What a step draws by chance depends on the seed and its number."""
        import torch

        self._go_on_from_newest_checkpoint()
        while self._taken < self._options.max_steps:
            torch.manual_seed(seed_of_step(self._taken + 1, seed=self._job.seed))
            yield self._taken + 1
            self._taken += 1
            if self._options.save_steps and self._taken % self._options.save_steps == 0:
                self._job.checkpoints.save(self._taken, self._write)

    def update(self, batch: Batch) -> dict[str, float]:
        """One AdamW update from a batch of numpy arrays; the loss, what it reports besides, and the gradient's norm."""
        import torch

        options = self._options
        rate = learning_rate_at(
            self._taken + 1,
            highest=options.learning_rate,
            total=options.max_steps,
            warmup=options.warmup_steps,
            shape=options.lr_scheduler_type,
        )
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        figures: dict[str, float] = {}
        for part in in_parts(batch, options.gradient_accumulation_steps):
            on_device = {name: torch.as_tensor(values, device=self._job.device) for name, values in part.items()}
            loss, reported = self._loss(self._module, on_device)
            loss.backward()
            for name, value in {"loss": loss, **reported}.items():
                figures[name] = figures.get(name, 0.0) + float(value.detach())
        norm = torch.nn.utils.clip_grad_norm_(self._trained.values(), options.max_grad_norm or float("inf"))
        self._optimiser.step()
        self._optimiser.zero_grad()
        return figures | {"grad_norm": float(norm), "learning_rate": rate}

    def report(self, metrics: Mapping[str, float]) -> None:
        """Report the step under way as done."""
        self._metrics = metrics
        self._progress.step(self._taken + 1, self._options.max_steps, metrics)

    def result(self, tokenizer: Any) -> TrainingResult:
        """Save the model, or its adapter, with the tokenizer."""
        must_have_taken_steps(self._taken)
        must_have_changed(self._before, _fingerprint(self._model))
        folder = self._job.folder / "trained"
        self._model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        keep_ends(folder, tokenizer)
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
        return TrainingResult(
            folder=folder, is_adapter=self._options.adapter != "none", steps=self._taken, metrics=self._metrics
        )

    def _go_on_from_newest_checkpoint(self) -> None:
        import torch
        from safetensors.torch import load_file

        if (newest := self._job.checkpoints.newest()) is not None:
            self._taken, folder = newest
            kept = load_file(folder / "weights.safetensors")
            with torch.no_grad():
                for name, weights in self._trained.items():
                    weights.copy_(kept[name])
            self._optimiser.load_state_dict(torch.load(folder / "optimiser.pt", map_location="cpu"))
            state = json.loads((folder / "state.json").read_text())
            self._metrics, self.remembered = state["metrics"], state["remembered"]

    def _write(self, folder: Path) -> None:
        import torch
        from safetensors.torch import save_file

        save_file(
            {name: weights.detach().contiguous() for name, weights in self._trained.items()},
            folder / "weights.safetensors",
        )
        torch.save(self._optimiser.state_dict(), folder / "optimiser.pt")
        state = {"metrics": dict(self._metrics), "remembered": self.remembered}
        (folder / "state.json").write_text(json.dumps(state))


def _fingerprint(model: Any) -> list[tuple[float, float]]:
    """Two sums over each tensor that is trained: cheap, and different as soon as a step was taken."""
    return [
        (weights.detach().double().sum().item(), weights.detach().double().abs().sum().item())
        for weights in model.parameters()
        if weights.requires_grad
    ]
