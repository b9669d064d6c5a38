"""What the fork server imports for a pool: a file with the pool's name, like `cuda.txt`, made by `make_imports.py`."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def imports_of(pool: str) -> tuple[str, ...]:
    """The modules that runs of this pool import; only Prefect's own for a pool without a file."""
    file = _FOLDER / f"{pool}.txt"
    return tuple(file.read_text().split()) if file.exists() else ("prefect.main", "prefect.flow_engine")
