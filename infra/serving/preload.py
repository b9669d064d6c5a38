"""What is made once in a process, at its first use, made before a run starts: the fork server imports this last.

Nothing here computes with tensors or starts a thread, and nothing depends on a run: see `fork_server.py`.
"""

import sys
from collections.abc import Iterator
from contextlib import suppress

from pydantic import BaseModel

from adapters import trainers
from infra.trainings.provenance import installed_packages

_OURS = ("adapters", "domain", "flows", "infra")


def _models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def make_ready() -> None:
    """Build the validators of our models, the trainers' declarations and what transformers knows of architectures."""
    for model in _models():
        if model.__module__.split(".", maxsplit=1)[0] in _OURS:
            model.model_rebuild()
    for declaration in trainers.declarations().values():
        assert declaration.options
    installed_packages()
    if "transformers" in sys.modules:
        with suppress(ImportError):  # a release that does without this table
            from transformers.conversion_mapping import get_checkpoint_conversion_mapping

            get_checkpoint_conversion_mapping("llama")  # a thousand expressions are compiled for any architecture


make_ready()
