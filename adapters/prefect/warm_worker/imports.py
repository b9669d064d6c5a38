"""What the fork server imports for a pool: a file with the pool's name, like `cuda.txt`, made by `make_imports.py`.

And of this service itself, what every run goes through.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent

OURS = (
    "flows.train",
    "flows.manage",
    "infra.preparing",
    "infra.provenance",
    "adapters.artifacts",
    "adapters.base_models",
    "adapters.checkpoints",
    "adapters.datasets",
    "adapters.devices",
    "adapters.evaluation.torch_model",
    "adapters.event_store.sqlite",
    "adapters.licences",
    "adapters.prefect.worker.engine",
    "adapters.trainers.huggingface",
    "adapters.trainers.sft",
    "adapters.trainers.grpo",
    "adapters.views.sqlite",
    "infra.made_ready",
)


def imports_of(pool: str) -> tuple[str, ...]:
    """The modules that runs of this pool import; only Prefect's own and ours for a pool without a file."""
    file = _FOLDER / f"{pool}.txt"
    libraries = tuple(file.read_text().split()) if file.exists() else ("prefect.main", "prefect.flow_engine")
    return (*libraries, *OURS)
