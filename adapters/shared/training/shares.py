"""Whether the rows of a step can be shared evenly: among machines, their processes, and the parts of a step."""

from collections.abc import Mapping
from typing import Any


def problem_with_shares(options: Mapping[str, Any]) -> str | None:
    """What is wrong with these options, in words for people; None where every share has as many rows."""
    parts = {name: options.get(name, 1) for name in ("machines", "processes", "gradient_accumulation_steps")}
    machines, processes, steps = parts.values()
    if "batch_size" not in options or options["batch_size"] % (machines * processes * steps) == 0:
        return None
    return (
        f"option 'batch_size' ({options['batch_size']}) must be a multiple of options 'machines' ({machines}) "
        f"times 'processes' ({processes}) times 'gradient_accumulation_steps' ({steps})"
    )
