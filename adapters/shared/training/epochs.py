"""How long a training is: counted in optimiser steps, or in times that it sees every row."""

import math


def steps_to_take(max_steps: int, epochs: float, *, rows: int, batch_size: int) -> int:
    """As many optimiser steps as `epochs` passes over the rows take; `max_steps` where it is 0.

    Where the rows do not divide into batches, the last one of a pass counts as a whole step.
    """
    if epochs <= 0:
        return max_steps
    return max(1, math.ceil(epochs * math.ceil(rows / batch_size)))
