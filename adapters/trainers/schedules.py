"""The learning rate of each step: transformers' schedules under their names, for trainers that have no scheduler."""

import math


def learning_rate_at(step: int, *, highest: float, total: int, warmup: int, shape: str) -> float:
    """The learning rate of optimiser step `step` of `total`, counted from 1.

    It rises linearly over the first `warmup` steps, beginning at zero, and from its highest it stays (`constant`), or
    falls to zero along a line (`linear`) or half a cosine (`cosine`).
    """
    done = step - 1
    if done < warmup:
        return highest * done / warmup
    share = (done - warmup) / max(1, total - warmup)
    match shape:
        case "constant":
            return highest
        case "linear":
            return highest * max(0.0, 1.0 - share)
        case "cosine":
            return highest * max(0.0, 0.5 * (1.0 + math.cos(math.pi * share)))
    raise ValueError(f"there is no schedule {shape!r}")
