"""Whether a dataset's rows have a shape that a trainer takes."""

from domain.errors import InvalidInput
from domain.training import TrainingJob


def must_have_columns(job: TrainingJob, *shapes: tuple[str, ...], trainer: str) -> None:
    """Raise `InvalidInput` unless the rows have all columns of one of the shapes."""
    if not any(all(column in job.rows[0] for column in shape) for shape in shapes):
        wanted = "; or ".join(" and ".join(shape) for shape in shapes)
        raise InvalidInput(
            f"The trainer {trainer} takes rows with {wanted}. This dataset has {', '.join(job.rows[0])}."
        )
