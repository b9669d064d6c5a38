"""Optimiser steps on MLX that can be interrupted after any of them and go on exactly.

What a step depends on is in its checkpoint (weights, AdamW's moments, what the trainer remembers) or follows from the
seed and the step's number (rows, chance).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from adapters.trainers.bad_results import WatchedProgress, must_have_changed, must_have_taken_steps
from adapters.trainers.batches import Batch, in_parts
from adapters.trainers.common_options import CheckpointOptions, OptimiserOptions
from adapters.trainers.mlx.mlx_models import ModelOptions, Opened, gradient_checkpointing, save_model
from adapters.trainers.row_order import seed_of_step
from adapters.trainers.schedules import learning_rate_at
from domain.errors import InvalidConfigurationOptions
from domain.training import Progress, TrainingJob, TrainingResult, changes

Loss = Callable[[Any, Batch], tuple[Any, Mapping[str, Any]]]


class StepOptions(CheckpointOptions, ModelOptions, OptimiserOptions):
    """What every trainer on MLX honours."""

    gradient_accumulation_steps: int = Field(
        default=1,
        ge=1,
        le=4096,
        description="Parts in which the rows of one step are computed, one after the other",
        json_schema_extra=changes("memory"),
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute activations again in the backward pass instead of keeping them",
        json_schema_extra=changes("memory"),
    )


class Steps:
    """The steps of one run: iterate over those still to take, update within each, report, and ask for the result.

    `loss(module, batch)` gives a scalar, and scalars to report. All are sums over the rows of the batch (weights in the
    batch make them means), so that a batch computed in parts gives what it gives as a whole. `module` is what is
    trained: the model, or one that holds it beside other weights. `total` is how many steps there are; unless it is
    given, `max_steps` is.
    """

    def __init__(
        self,
        job: TrainingJob,
        opened: Opened,
        options: StepOptions,
        progress: Progress,
        loss: Loss,
        *,
        module: Any = None,
        total: int | None = None,
    ) -> None:
        import mlx.optimizers as optim

        if options.batch_size % options.gradient_accumulation_steps:
            raise InvalidConfigurationOptions(
                [
                    f"option 'batch_size' ({options.batch_size}) must be a multiple of option "
                    f"'gradient_accumulation_steps' ({options.gradient_accumulation_steps})"
                ]
            )
        self._job, self._opened, self._options = job, opened, options
        self._progress = WatchedProgress(progress)
        self._module = opened.model if module is None else module
        self._optimiser = optim.AdamW(
            learning_rate=options.learning_rate, weight_decay=options.weight_decay, bias_correction=True
        )
        self._loss = loss
        self._total = total or options.max_steps
        self._taken = 0
        self._metrics: Mapping[str, float] = {}
        self._before = _fingerprint(opened.model)
        # What a trainer wants to know of earlier steps; it is kept in the checkpoints.
        self.remembered: dict[str, list[float]] = {}

    def __iter__(self) -> Iterator[int]:
        """The numbers of the steps still to take. What a step draws by chance depends on the seed and its number."""
        import mlx.core as mx

        self._go_on_from_newest_checkpoint()
        self._compile()
        with gradient_checkpointing(self._opened.model, on=self._options.gradient_checkpointing):
            while self._taken < self._total:
                mx.random.seed(seed_of_step(self._taken + 1, seed=self._job.seed))
                yield self._taken + 1
                self._taken += 1
                if self._options.save_steps and self._taken % self._options.save_steps == 0:
                    self._job.checkpoints.save(self._taken, self._write)

    def update(self, batch: Batch) -> dict[str, float]:
        """One AdamW update from a batch of numpy arrays; the loss, what it reports besides, and the gradient's norm."""
        import mlx.core as mx
        from mlx.utils import tree_map

        options = self._options
        rate = learning_rate_at(
            self._taken + 1,
            highest=options.learning_rate,
            total=self._total,
            warmup=options.warmup_steps,
            shape=options.lr_scheduler_type,
        )
        self._optimiser.learning_rate = rate
        sums: tuple[Any, Any, Any] | None = None
        for part in in_parts(batch, options.gradient_accumulation_steps):
            (loss, reported), gradient = self._gradient({name: mx.array(values) for name, values in part.items()})
            here = (gradient, loss, reported)  # in this order: what leads to the loss alone is not kept meanwhile
            sums = here if sums is None else tree_map(mx.add, sums, here)
            mx.eval(sums)
        assert sums is not None
        gradient, loss, reported = sums
        norm = self._apply(gradient)
        mx.eval(self._module.state, self._optimiser.state)
        figures = {"loss": loss, **reported, "grad_norm": norm}
        return {name: float(value.item()) for name, value in figures.items()} | {"learning_rate": rate}

    def report(self, metrics: Mapping[str, float]) -> None:
        """Report the step under way as done."""
        self._metrics = metrics
        self._progress.step(self._taken + 1, self._total, metrics)

    def result(self) -> TrainingResult:
        """Save what came of it."""
        must_have_taken_steps(self._taken)
        must_have_changed(self._before, _fingerprint(self._opened.model))
        folder = self._job.folder / "trained"
        save_model(folder, self._opened, self._job, self._options)
        return TrainingResult(
            folder=folder, is_adapter=self._options.adapter != "none", steps=self._taken, metrics=self._metrics
        )

    def _compile(self) -> None:
        import mlx.core as mx
        import mlx.optimizers as optim
        from mlx import nn

        module, optimiser, max_norm = self._module, self._optimiser, self._options.max_grad_norm
        loss_and_gradient = nn.value_and_grad(module, self._loss)

        def gradient(batch: Batch) -> Any:
            return loss_and_gradient(module, batch)

        def apply(gradient: Any) -> Any:
            clipped, norm = optim.clip_grad_norm(gradient, max_norm or float("inf"))
            optimiser.update(module, clipped if max_norm else gradient)
            return norm

        # Differentiating puts the traced weights into the module, so they are an output, too.
        state = [module.state, mx.random.state]
        self._gradient = mx.compile(gradient, inputs=state, outputs=state)
        changed = [module.state, optimiser.state]
        self._apply = mx.compile(apply, inputs=changed, outputs=changed)

    def _go_on_from_newest_checkpoint(self) -> None:
        if (newest := self._job.checkpoints.newest()) is not None:
            self._taken, folder = newest
            self._module.update(_loaded(folder / "weights.safetensors"))
            self._optimiser.state = _loaded(folder / "optimiser.safetensors")
            state = json.loads((folder / "state.json").read_text())
            self._metrics, self.remembered = state["metrics"], state["remembered"]
        self._optimiser.init(self._module.trainable_parameters())

    def _write(self, folder: Path) -> None:
        import mlx.core as mx
        from mlx.utils import tree_flatten

        mx.save_safetensors(
            str(folder / "weights.safetensors"), dict(tree_flatten(self._module.trainable_parameters()))
        )
        mx.save_safetensors(str(folder / "optimiser.safetensors"), dict(tree_flatten(self._optimiser.state)))
        state = {"metrics": dict(self._metrics), "remembered": self.remembered}
        (folder / "state.json").write_text(json.dumps(state))


def _save(file: Path, arrays: Any) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten

    mx.save_safetensors(str(file), dict(tree_flatten(arrays)))


def _loaded(file: Path) -> Any:
    import mlx.core as mx
    from mlx.utils import tree_unflatten

    arrays: Any = mx.load(str(file))
    return tree_unflatten(list(arrays.items()))


def _fingerprint(model: Any) -> list[tuple[float, float]]:
    """Two sums over each tensor that is trained: cheap, and different as soon as a step was taken."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    weights = [values.astype(mx.float32) for _, values in tree_flatten(model.trainable_parameters())]
    return [(values.sum().item(), values.abs().sum().item()) for values in weights]
