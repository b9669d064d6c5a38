"""Which rows a step sees and which chance it draws: functions of the seed and the step, so nothing has to be saved.

A run that was interrupted computes the same again from the step at which it goes on.
"""

import numpy as np


def rows_of_step(step: int, *, rows: int, batch_size: int, seed: int) -> list[int]:
    """Indices of the rows of optimiser step `step`, counted from 1.

    Every epoch is a fresh shuffle of all rows; a batch that an epoch's end would cut short goes on in the next one.
    """
    first = (step - 1) * batch_size
    positions = range(first, first + batch_size)
    shuffles = {
        epoch: np.random.default_rng([seed, epoch]).permutation(rows) for epoch in {p // rows for p in positions}
    }
    return [int(shuffles[position // rows][position % rows]) for position in positions]


def seed_of_step(step: int, *, seed: int) -> int:
    """The seed of all that is drawn by chance in this step: dropout, sampling."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])
