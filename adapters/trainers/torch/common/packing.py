"""Several rows in one: whether a model keeps them apart, so that none is learned from what another one says."""

from typing import Any

from domain.errors import InvalidConfigurationOptions

# What attention kernels may differ by in 32 bits, far below what a foreign row changes.
_ROUNDING = 1e-3


def must_keep_rows_apart(model: Any, adapter: Any = None) -> None:
    """Raise `InvalidConfigurationOptions` unless the model reads packed rows as it reads each of them alone.

    Which attention does is the library's and the architecture's affair, so it is tried: the same row, alone and behind
    another one, with the positions that say where it begins.
    """
    if getattr(adapter, "is_prompt_learning", False):
        raise InvalidConfigurationOptions(
            [
                "option 'packing': the adapter prompt has its place before a row, not between packed ones; set packing "
                "to false"
            ]
        )
    if _leak(model) > _ROUNDING:
        raise InvalidConfigurationOptions(
            [
                f"option 'packing': with its attention ({model.config._attn_implementation}) this model would read "
                "packed rows as one text; set packing to false"
            ]
        )


def _leak(model: Any) -> float:
    """By how much the row's last prediction changes when another row stands before it, in logits."""
    import torch

    first, second = [5, 6, 7, 8], [9, 10, 11]
    training = model.training
    model.eval()
    with torch.no_grad():
        alone = model(input_ids=torch.tensor([second], device=model.device), use_cache=False).logits[0, -1]
        packed = model(
            input_ids=torch.tensor([first + second], device=model.device),
            position_ids=torch.tensor([[*range(len(first)), *range(len(second))]], device=model.device),
            use_cache=False,
        ).logits[0, -1]
    model.train(training)
    return float((alone - packed).abs().max())
