"""The schedules are transformers' own under their names."""

import pytest

from adapters.trainers.schedules import learning_rate_at


@pytest.mark.parametrize(
    ("shape", "theirs"), [("constant", "constant_with_warmup"), ("linear", "linear"), ("cosine", "cosine")]
)
@pytest.mark.parametrize("warmup", [0, 3, 12])
def test_a_schedule_gives_the_rates_that_transformers_gives(shape: str, theirs: str, warmup: int) -> None:
    import torch
    from transformers import get_scheduler

    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = get_scheduler(theirs, optimiser, num_warmup_steps=warmup, num_training_steps=10)
    expected = []
    for _ in range(10):
        expected.append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()

    rates = [learning_rate_at(n, highest=0.5, total=10, warmup=warmup, shape=shape) for n in range(1, 11)]

    assert rates == pytest.approx(expected)


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="no schedule 'wavy'"):
        learning_rate_at(1, highest=1, total=1, warmup=0, shape="wavy")
