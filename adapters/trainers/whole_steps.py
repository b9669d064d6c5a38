"""Every row of a step counts once, however the last batch of a pass falls into parts and processes.

Where a pass's rows do not divide into equal shares, accelerate fills the last ones up with rows from the pass's
beginning, and a mean over the parts' means weighs a row of a small part more. Both are put right here, so that a step
is what it would be in one piece.
"""

from dataclasses import dataclass
from typing import Any, Literal

MeanOver = Literal["tokens", "pairs"]


@dataclass(frozen=True)
class Share:
    """What one process computes in one part of a step: how many of its rows count.

    `beside` counts those of all processes in this part, `weight` is what makes the mean over these rows a share of the
    step's mean, where parts and processes are averaged.
    """

    rows: int
    beside: int
    weight: float


@dataclass(frozen=True)
class Shares:
    """How the rows of a pass are shared: `each` to a part of a process, one process after the other."""

    rows: int
    each: int
    parts: int
    processes: int

    def of(self, process: int, *, step: int, part: int, parts: int) -> Share:
        """The share of a process in one of the `parts` that this step has; steps count from 0, over all passes."""
        at_once = self.each * self.processes
        step %= -(-self.rows // (at_once * self.parts))
        first = step * at_once * self.parts
        of_step = min(self.rows - first, at_once * self.parts)

        def count(begin: int, most: int) -> int:
            return max(0, min(self.rows - begin, most))

        begin = first + part * at_once
        own = count(begin + process * self.each, self.each)
        return Share(own, count(begin, at_once), own * self.processes * parts / of_step)


def with_whole_steps(trainer_class: type[Any], mean_over: MeanOver) -> type[Any]:
    """The same Trainer of transformers, its loss the mean over a step's tokens, or over its pairs.

    A batch of pairs holds all chosen answers and then all rejected ones.
    """
    return _over_tokens(trainer_class) if mean_over == "tokens" else _over_pairs(trainer_class)


class _Sharing:
    """Knows at each part of a step which of its rows count."""

    train_dataset: Any
    args: Any
    state: Any
    data_collator: Any

    def shares(self, parts: int) -> list[Share]:
        args = self.args
        whole = Shares(
            len(self.train_dataset), args.per_device_train_batch_size, args.gradient_accumulation_steps, args.world_size
        )
        step = self.state.global_step
        return [whole.of(args.process_index, step=step, part=part, parts=parts) for part in range(parts)]


def _over_tokens(trainer_class: type[Any]) -> type[Any]:
    class OverTokens(_Sharing, trainer_class):  # type: ignore[misc]  # of a library without types
        def __init__(self, *args: Any, **parts: Any) -> None:
            super().__init__(*args, **parts)
            collate = self.data_collator

            def with_lengths(rows: Any) -> dict[str, Any]:
                return dict(collate(rows)) | {"row_lengths": [len(row["input_ids"]) for row in rows]}

            self.data_collator = with_lengths
            if self.args.world_size > 1:
                # Theirs leaves out of a last batch what it takes for rows, where sums are gathered.
                self.accelerator.gather_for_metrics = self.accelerator.gather

        def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: Any) -> Any:
            for batch, share in zip(batch_samples, self.shares(len(batch_samples)), strict=True):
                lengths = batch.pop("row_lengths")
                for name in ("labels", "shift_labels"):
                    if name in batch and share.rows < len(lengths):
                        _learn_nothing_beyond(batch[name], share.rows, lengths)
            return super()._get_num_items_in_batch(batch_samples, device)

    return OverTokens


def _learn_nothing_beyond(labels: Any, rows: int, lengths: list[int]) -> None:
    if len(labels) == len(lengths):
        labels[rows:] = -100
    else:  # they stand in one row, one behind the other
        labels[:, sum(lengths[:rows]) :] = -100


def _over_pairs(trainer_class: type[Any]) -> type[Any]:
    class OverPairs(_Sharing, trainer_class):  # type: ignore[misc]  # of a library without types
        _share = Share(1, 1, 1.0)

        def __init__(self, *args: Any, **parts: Any) -> None:
            super().__init__(*args, **parts)
            if self.args.world_size > 1:
                plain = self.accelerator.gather

                def gather(values: Any) -> Any:
                    return _rows_of_all(plain, values, counts=self._share.rows > 0)

                self.accelerator.gather = self.accelerator.gather_for_metrics = gather

        def get_batch_samples(self, *args: Any, **how: Any) -> Any:
            batches, items = super().get_batch_samples(*args, **how)
            for batch, share in zip(batches, self.shares(len(batches)), strict=True):
                batch["share"] = share
            return batches, items

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **how: Any) -> Any:
            self._share = share = inputs.pop("share")
            kept = {name: _first_pairs(values, max(1, share.rows)) for name, values in inputs.items()}
            loss = super().compute_loss(model, kept, *args, **how)
            metrics = getattr(self, "_metrics", {}).get("train", {})
            in_step = share.weight * share.beside / max(1, share.rows * self.args.world_size)
            if share.rows:
                for name in _MEANS_OF_PAIRS & metrics.keys():
                    metrics[name][-1] *= in_step
            return loss * share.weight

    return OverPairs


_MEANS_OF_PAIRS = {"rewards/accuracies", "rewards/margins", "accuracy", "margin", "log_odds_ratio"}


def _first_pairs(values: Any, pairs: int) -> Any:
    if not hasattr(values, "shape"):
        return values
    half = len(values) // 2
    return values if half <= pairs else values.unflatten(0, (2, half))[:, :pairs].flatten(0, 1)


def _rows_of_all(gather: Any, values: Any, *, counts: bool) -> Any:
    """The values of all processes, one behind the other, of as many rows as each has; sums are a number of each."""
    import torch

    if values.dim() == 0:
        return gather(values if counts else torch.zeros_like(values))
    own = values if counts else values[:0]
    lengths = gather(torch.tensor([len(own)], device=own.device)).tolist()
    most = max(lengths)
    filled = torch.cat([own, own.new_zeros(most - len(own), *own.shape[1:])])
    all_of_them = gather(filled).unflatten(0, (len(lengths), most))
    return torch.cat([some[:length] for some, length in zip(all_of_them, lengths, strict=True)])
