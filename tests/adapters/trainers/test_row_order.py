"""Which rows a step sees follows from the seed and the step's number alone."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.trainers.row_order import rows_of_step, seed_of_step


@given(rows=st.integers(1, 20), batch_size=st.integers(1, 30), epochs=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_every_epoch_sees_every_row_once(rows: int, batch_size: int, epochs: int, seed: int) -> None:
    steps = -(-rows * epochs // batch_size)
    seen = [
        row for step in range(1, steps + 1) for row in rows_of_step(step, rows=rows, batch_size=batch_size, seed=seed)
    ]

    assert len(seen) == steps * batch_size
    for epoch in range(epochs):
        assert sorted(seen[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


def test_another_seed_and_another_epoch_shuffle_otherwise() -> None:
    def epoch(number: int, seed: int) -> list[int]:
        return rows_of_step(number, rows=50, batch_size=50, seed=seed)

    assert epoch(1, seed=0) != epoch(1, seed=1)
    assert epoch(1, seed=0) != epoch(2, seed=0)


@given(step=st.integers(1, 10**6), seed=st.integers(0, 2**32))
def test_a_steps_chance_is_its_own(step: int, seed: int) -> None:
    assert seed_of_step(step, seed=seed) == seed_of_step(step, seed=seed) != seed_of_step(step + 1, seed=seed)
