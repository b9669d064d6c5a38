"""What the fork server imports for each pool: `cuda.txt` and `mlx.txt`, which `make_imports.py` makes."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def imports_of(pool: str) -> tuple[str, ...]:
    """The modules that runs of this pool import; Prefect's own for a pool that is not one of ours."""
    file = _FOLDER / f"{pool}.txt"
    return tuple(file.read_text().split()) if file.exists() else ("prefect.main", "prefect.flow_engine")
