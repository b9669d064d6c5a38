"""What learning from answers that are marked wanted or unwanted needs, before anything is trained."""

from collections.abc import Iterable, Mapping
from typing import Any

from domain.training import Row


def problem_with_labels(rows: Iterable[Row]) -> str | None:
    """Why nothing could be told from the labels; None where there are both."""
    found: set[bool] = set()
    for row in rows:
        found.add(bool(row["label"]))
        if len(found) > 1:
            return None
    kind, other = ("true", "false") if True in found else ("false", "true")
    return f"All rows to train on have the label {kind}, so there is nothing to tell apart. Add rows with {other}."


def problem_with_pairs(options: Mapping[str, Any]) -> str | None:
    """Why the divergence cannot be estimated, which pairs each prompt with another row's answer; None where it can."""
    batch, parts = int(options.get("batch_size", 2)), int(options.get("gradient_accumulation_steps", 1))
    if batch // parts >= 2:
        return None
    return f"option 'batch_size' ({batch}) must be at least twice option 'gradient_accumulation_steps' ({parts})"
