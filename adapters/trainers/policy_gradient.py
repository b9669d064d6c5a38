"""The mathematics of policy gradients, as the papers write it.

Arrays are answers × tokens. `mask` is 1 for each token that was sampled as part of an answer and 0 for all others;
`logprobs` are log π(token | what came before), in nats. What a loss takes as constant is computed with numpy. What is
differentiated takes `xp`, the array library that does it: `torch` or `mlx.core`.

Papers: Schulman 2015 is GAE (arXiv:1506.02438), Schulman 2017 is PPO (arXiv:1707.06347), Ziegler 2019 is "Fine-Tuning
Language Models from Human Preferences" (arXiv:1909.08593), Shao 2024 is GRPO (arXiv:2402.03300).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def token_rewards(scores: Array, logprobs: Array, reference: Array, mask: Array, *, beta: float) -> Array:
    """What each token earns: R = r − β log(π/ρ) (Ziegler 2019, eq. 2), token by token.

    Every token pays for its own divergence from the reference ρ, and the last one of an answer earns the answer's
    score. `scores` holds one number for each answer.
    """
    rewards: Array = -beta * (logprobs - reference) * mask
    last = mask.cumsum(axis=1).argmax(axis=1)
    answered = mask.any(axis=1)
    rewards[np.arange(len(scores)), last] += scores * answered
    return rewards


def advantages(rewards: Array, values: Array, mask: Array, *, gamma: float, lam: float) -> Array:
    """Generalised advantage estimation: Â(t) = Σ (γλ)^l δ(t+l) with δ(t) = r(t) + γ V(t+1) − V(t).

    Schulman 2015, eqs. 12 and 16. Beyond an answer's last token the value is zero.
    """
    result = np.zeros_like(rewards)
    after = np.zeros(len(rewards), rewards.dtype)
    value_after = np.zeros(len(rewards), rewards.dtype)
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * value_after - values[:, t]
        after = (delta + gamma * lam * after) * mask[:, t]
        value_after = values[:, t] * mask[:, t]
        result[:, t] = after
    return result


def returns(advantages: Array, values: Array, mask: Array) -> Array:
    """What the value function is to predict: the λ-return V + Â (Schulman 2015, section 5)."""
    predicted: Array = (advantages + values) * mask
    return predicted


def whitened(numbers: Array, mask: Array, *, keep_mean: bool = False) -> Array:
    """The numbers with variance 1 and, unless it is kept, mean 0, over all that the mask counts.

    Numbers that do not vary only lose their mean: there is nothing to scale.
    """
    counted = numbers[mask > 0]
    if counted.size == 0:
        return np.zeros_like(numbers)
    mean, deviation = counted.mean(), counted.std()
    white: Array = (numbers - mean) / (deviation + 1e-8) if deviation > 0 else numbers - mean
    return np.where(mask > 0, white + mean if keep_mean else white, np.zeros_like(white))


def group_advantages(scores: Array, group: int, *, scale: str = "group") -> Array:
    """Each score relative to those of its group of answers to one prompt: (r − mean) / std (Shao 2024, 4.1.2).

    Groups lie one after the other. The deviation is that of the `group`, or of the whole `batch`; with `none` nothing
    is divided, as Liu 2025 (arXiv:2503.20783) proposes.
    """
    groups = scores.reshape(-1, group)
    relative = groups - groups.mean(axis=1, keepdims=True)
    match scale:
        case "group":
            relative = relative / (groups.std(axis=1, keepdims=True) + 1e-4)
        case "batch":
            relative = relative / (groups.std() + 1e-4)
    return np.asarray(relative).reshape(-1)


def clipped_surrogate(logprobs: Any, old_logprobs: Any, advantages: Any, *, epsilon: float, xp: Any) -> tuple[Any, Any]:
    """−L^CLIP of each token: −min(r Â, clip(r, 1−ε, 1+ε) Â) with r = π/π_old (Schulman 2017, eqs. 6 and 7).

    And 1 for each token whose ratio the clipping holds back, else 0.
    """
    ratio = xp.exp(logprobs - old_logprobs)
    clipped = xp.clip(ratio, 1.0 - epsilon, 1.0 + epsilon)
    return xp.maximum(-ratio * advantages, -clipped * advantages), 1.0 * (clipped * advantages < ratio * advantages)


def clipped_value_loss(values: Any, old_values: Any, returns: Any, *, epsilon: float, xp: Any) -> Any:
    """½ max((V − R)², (V_clip − R)²) of each token, with V held within ε of what it was when the answer was sampled.

    The squared error of Schulman 2017, eq. 9, clipped as in the authors' implementation (openai/baselines, ppo2).
    """
    held = old_values + xp.clip(values - old_values, -epsilon, epsilon)
    return 0.5 * xp.maximum((values - returns) ** 2, (held - returns) ** 2)


def divergence(logprobs: Any, reference: Any, *, xp: Any) -> Any:
    """KL(π ∥ ρ) of each token, estimated as ρ/π − log(ρ/π) − 1: never negative and unbiased (Shao 2024, eq. 4)."""
    log_ratio = reference - logprobs
    return xp.exp(log_ratio) - log_ratio - 1.0
