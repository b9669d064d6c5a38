"""What the fork server imports for a pool: a file with the pool's name, like `cuda.txt`, made by `make_imports.py`.

And of this service itself, what every run goes through.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent

OURS = (
    "flows.train",
    "flows.manage",
    "infra.trainings.preparing",
    "infra.trainings.provenance",
    "adapters.artifacts.artifact_store",
    "adapters.models",
    "adapters.shared.training.checkpoints",
    "adapters.datasets",
    "adapters.machines.devices",
    "adapters.evaluation.torch_model",
    "adapters.store.sqlite_log",
    "adapters.licences",
    "adapters.prefect.worker.engine",
    "adapters.trainers.torch.common.huggingface",
    "adapters.trainers.torch.sft",
    "adapters.trainers.torch.grpo",
    "adapters.store.sqlite_views",
    "infra.serving.preload",
)


def imports_of(pool: str) -> tuple[str, ...]:
    """The modules that runs of this pool import; only Prefect's own and ours for a pool without a file."""
    file = _FOLDER / f"{pool}.txt"
    libraries = tuple(file.read_text().split()) if file.exists() else ("prefect.main", "prefect.flow_engine")
    return (*libraries, *OURS)
