"""The shapes that rows have, and those that a trainer takes."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from domain.catalogue.method_spec import MethodType
from domain.errors import InvalidDataset
from domain.runs.run_plan import Shape

# The first whose columns are all there is the shape: those that ask for more stand before those that ask for less.
_COLUMNS = {
    Shape.PREFERENCES: {"prompt", "chosen", "rejected"},
    Shape.JUDGED: {"prompt", "completion", "label"},
    Shape.MESSAGES: {"messages"},
    Shape.DEMONSTRATIONS: {"prompt", "completion"},
    Shape.QUESTIONS: {"prompt", "answer"},
    Shape.PROMPTS: {"prompt"},
    Shape.TEXTS: {"text"},
}

_DEMONSTRATED = (Shape.MESSAGES, Shape.DEMONSTRATIONS, Shape.TEXTS)
_PREFERRED = (Shape.PREFERENCES,)
_ASKED = (Shape.QUESTIONS, Shape.PROMPTS, Shape.DEMONSTRATIONS)

_TAKEN: dict[MethodType, tuple[Shape, ...]] = {
    MethodType.SFT: _DEMONSTRATED,
    MethodType.PEFT: _DEMONSTRATED,
    MethodType.DPO: _PREFERRED,
    MethodType.ORPO: _PREFERRED,
    MethodType.REWARD: _PREFERRED,
    MethodType.KTO: (Shape.JUDGED,),
    MethodType.PPO: _ASKED,
    MethodType.GRPO: _ASKED,
    MethodType.RLOO: _ASKED,
}


def columns_of(shape: Shape) -> set[str]:
    """The columns by which a shape is told, and which are read."""
    return _COLUMNS[shape]


def shape_of(rows: Sequence[Mapping[str, Any]]) -> Shape:
    """The shape of the rows, told from the first. Raises `InvalidDataset` for one that no trainer of ours takes."""
    columns = set(rows[0])
    for shape, wanted in _COLUMNS.items():
        if wanted <= columns:
            return shape
    raise InvalidDataset(f"The dataset's rows have {', '.join(rows[0])}, which no trainer can learn from.")


def shapes_taken(method_types: Collection[MethodType]) -> tuple[Shape, ...]:
    """What a trainer of these types takes; every shape for the type `OTHER`, of which nothing is known."""
    if MethodType.OTHER in method_types:
        return tuple(Shape)
    return tuple(dict.fromkeys(shape for kind in method_types for shape in _TAKEN[kind]))


def must_take(
    trainer: str,
    method_types: Collection[MethodType],
    rows: Sequence[Mapping[str, Any]],
    *,
    as_demonstrations: str = "",
) -> Shape:
    """The rows' shape. Raises `InvalidDataset` if the trainer does not take it.

    `as_demonstrations` are the columns with which the rows would be read as such, for people.
    """
    found, taken = shape_of(rows), shapes_taken(method_types)
    if found not in taken:
        columns = as_demonstrations if Shape.DEMONSTRATIONS in taken and not asks_only(method_types) else ""
        way_out = f'With --columns "{columns}" they are demonstrations, or choose' if columns else "Choose"
        raise InvalidDataset(
            f"The dataset's rows have {found}, and the trainer {trainer} takes rows with {'; or '.join(taken)}. "
            f"{way_out} another dataset, or another method.",
            columns=columns,
        )
    return found


def asks_only(method_types: Collection[MethodType]) -> bool:
    """Whether the trainer takes nothing but the prompt from a row, and samples the answers itself."""
    return bool(method_types) and all(_TAKEN.get(kind) is _ASKED for kind in method_types)
