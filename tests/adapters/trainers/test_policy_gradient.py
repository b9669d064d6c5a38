"""Each piece of the mathematics against numbers computed by hand, in every library that uses it."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adapters.shared.mlx_runtime import make_ready
from adapters.trainers import policy_gradient as pg


def library(name: str) -> tuple[Any, Any]:
    """The array library, and what makes an array of it."""
    if name == "torch":
        import torch

        return torch, torch.tensor
    make_ready()
    import mlx.core as mx

    return mx, mx.array


@pytest.fixture(params=["torch", "mlx"])
def xp(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return library(request.param)


TWO_ANSWERS = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])


def test_each_token_pays_for_its_divergence_and_the_last_one_earns_the_score() -> None:
    logprobs = np.array([[-1.0, -2.0, -3.0], [-1.0, -9.0, -9.0]])
    reference = np.array([[-1.5, -2.0, -2.0], [-3.0, -1.0, -1.0]])

    rewards = pg.token_rewards(np.array([10.0, 5.0]), logprobs, reference, TWO_ANSWERS, beta=0.1)

    assert rewards == pytest.approx(np.array([[-0.05, 0.0, 10.0 + 0.1], [5.0 - 0.2, 0.0, 0.0]]))


def test_an_empty_answer_earns_nothing() -> None:
    nothing = np.zeros((1, 3))
    assert pg.token_rewards(np.array([7.0]), nothing, nothing, nothing, beta=1.0).tolist() == [[0, 0, 0]]


def test_an_advantage_sums_the_discounted_surprises_that_follow() -> None:
    rewards = np.array([[1.0, 2.0, 3.0]])
    values = np.array([[0.5, 1.0, 1.5]])

    estimated = pg.advantages(rewards, values, np.ones((1, 3)), gamma=0.9, lam=0.8)

    # δ = 1 + 0.9·1 − 0.5 = 1.4,  2 + 0.9·1.5 − 1 = 2.35,  3 − 1.5 = 1.5, and γλ = 0.72
    assert estimated == pytest.approx(np.array([[1.4 + 0.72 * (2.35 + 0.72 * 1.5), 2.35 + 0.72 * 1.5, 1.5]]))


def test_what_lies_beyond_an_answer_does_not_count() -> None:
    rewards = np.array([[0.0, 1.0, 99.0]])
    values = np.array([[0.25, 0.5, 99.0]])
    mask = np.array([[1.0, 1.0, 0.0]])

    estimated = pg.advantages(rewards, values, mask, gamma=1.0, lam=1.0)

    assert estimated == pytest.approx(np.array([[1.0 - 0.25, 1.0 - 0.5, 0.0]]))
    assert pg.returns(estimated, values, mask) == pytest.approx(np.array([[1.0, 1.0, 0.0]]))


numbers = arrays(np.float64, (3, 4), elements=st.floats(-5, 5))


@given(rewards=numbers, values=numbers, gamma=st.floats(0, 1))
def test_with_lambda_one_it_is_what_was_earned_beyond_what_was_expected(
    rewards: pg.Array, values: pg.Array, gamma: float
) -> None:
    estimated = pg.advantages(rewards, values, np.ones((3, 4)), gamma=gamma, lam=1.0)

    earned = [[sum(gamma**k * row[t + k] for k in range(4 - t)) for t in range(4)] for row in rewards]
    assert estimated == pytest.approx(np.array(earned) - values, abs=1e-9)


@given(rewards=numbers, values=numbers, gamma=st.floats(0, 1))
def test_with_lambda_zero_it_is_the_surprise_of_one_step(rewards: pg.Array, values: pg.Array, gamma: float) -> None:
    estimated = pg.advantages(rewards, values, np.ones((3, 4)), gamma=gamma, lam=0.0)

    following = np.concatenate([values[:, 1:], np.zeros((3, 1))], axis=1)
    assert estimated == pytest.approx(rewards + gamma * following - values, abs=1e-9)


def test_whitening_counts_only_what_the_mask_counts() -> None:
    white = pg.whitened(np.array([[1.0, 3.0, 5.0], [7.0, 100.0, 100.0]]), TWO_ANSWERS)

    # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    expected = np.array([[-3.0, -1.0, 1.0], [3.0, 0.0, 0.0]]) / math.sqrt(5)
    assert white == pytest.approx(expected, abs=1e-6)


def test_whitening_may_keep_the_mean_and_never_divides_by_nothing() -> None:
    ones = np.ones((1, 2))
    assert pg.whitened(np.array([[1.0, 3.0]]), ones, keep_mean=True) == pytest.approx(np.array([[1.0, 3.0]]), abs=1e-6)
    assert pg.whitened(np.array([[2.0, 2.0]]), ones).tolist() == [[0.0, 0.0]]
    assert pg.whitened(np.array([[2.0, 2.0]]), np.zeros((1, 2))).tolist() == [[0.0, 0.0]]


def test_an_answer_is_compared_with_those_of_its_own_group() -> None:
    relative = pg.group_advantages(np.array([0.0, 2.0, 10.0, 10.0]), 2)
    assert relative == pytest.approx([-1.0, 1.0, 0.0, 0.0], abs=1e-3)
    scores = np.array([0.0, 2.0, 10.0, 16.0])  # their variance is 41
    assert pg.group_advantages(scores, 2, scale="none").tolist() == [-1, 1, -3, 3]
    in_batch = np.array([-1, 1, -3, 3]) / math.sqrt(41)
    assert pg.group_advantages(scores, 2, scale="batch") == pytest.approx(in_batch, rel=1e-3)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "held_back"),
    [
        (1.0, 2.0, -2.0, 0),
        (1.5, 2.0, -2.4, 1),  # better and likelier already: no more than 1.2 counts
        (0.5, 2.0, -1.0, 0),  # better and less likely: all of it counts
        (0.5, -2.0, 1.6, 1),  # worse and less likely already: no less than 0.8 counts
        (1.5, -2.0, 3.0, 0),  # worse and likelier: all of it counts
    ],
)
def test_the_surrogate_is_clipped_where_the_policy_has_moved_far_enough(
    xp: tuple[Any, Any], ratio: float, advantage: float, loss: float, held_back: int
) -> None:
    here, array = xp
    old = array([-1.0])

    losses, clipped = pg.clipped_surrogate(
        old + array([math.log(ratio)]), old, array([advantage]), epsilon=0.2, xp=here
    )

    assert losses.tolist() == pytest.approx([loss], rel=1e-5)
    assert clipped.tolist() == [held_back]


@pytest.mark.parametrize(
    ("value", "old", "target", "loss"),
    [
        (1.1, 1.0, 2.0, 0.5 * 0.9**2),  # within ε of what it was
        (1.9, 1.0, 2.0, 0.5 * 0.8**2),  # gone too far towards the target: as if it had stayed within 1.2
        (0.0, 1.0, 2.0, 0.5 * 2.0**2),  # gone away from it: all of the error counts
    ],
)
def test_the_value_loss_is_clipped_where_the_value_has_moved_far_enough(
    xp: tuple[Any, Any], value: float, old: float, target: float, loss: float
) -> None:
    here, array = xp
    losses = pg.clipped_value_loss(array([value]), array([old]), array([target]), epsilon=0.2, xp=here)
    assert losses.tolist() == pytest.approx([loss], rel=1e-5)


def test_no_gradient_flows_where_the_clipping_holds_back() -> None:
    import torch

    logprobs = torch.tensor([math.log(1.5), math.log(1.1)], requires_grad=True)
    losses, _ = pg.clipped_surrogate(logprobs, torch.zeros(2), torch.ones(2), epsilon=0.2, xp=torch)
    losses.sum().backward()

    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([0.0, -1.1])


def test_the_divergence_is_zero_between_equals_and_positive_either_way(xp: tuple[Any, Any]) -> None:
    here, array = xp
    measured = pg.divergence(array([-1.0, -1.0, -1.0]), array([-1.0, -2.0, 0.0]), xp=here)
    # ρ/π − log(ρ/π) − 1 with log(ρ/π) = 0, −1, 1
    assert measured.tolist() == pytest.approx([0.0, math.exp(-1), math.e - 2], abs=1e-6)
