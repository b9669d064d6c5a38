"""Datasets of the Hugging Face hub: `organisation/name`, or `organisation/name:configuration`."""

import re
from typing import Any

from adapters.datasets.files.folders import MEASURED_WITH
from adapters.datasets.files.raw_rows import Rows, rows_of
from adapters.shared.quiet import quiet
from domain.errors import InvalidDataset

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(:[\w.-]+)?")


def is_hub_id(name: str) -> bool:
    """Whether a name can be a hub id; whether there is such a dataset only the hub knows."""
    return _HUB_ID.fullmatch(name) is not None


def read_from_hub(name: str) -> tuple[Rows, Rows | None, tuple[str, ...]]:
    """The rows of the split `train`, and those of `test` or `validation` if there is one; what is told of the other."""
    hub_id, _, configuration = name.partition(":")
    splits = _loaded(hub_id, configuration or None)
    if "train" not in splits:
        raise InvalidDataset(
            f"The dataset {name!r} has no split named train (it has {', '.join(splits)}). Download "
            "the files of the one that you want, and give their folder, or one of them."
        )
    rows = _rows(splits, hub_id, "train")
    found = [split for split in MEASURED_WITH if split in splits]
    if not found:
        return rows, None, ()
    taken, *others = found
    remarks = (f"The split {other} is not used: the rows to measure with are those of {taken}." for other in others)
    return rows, _rows(splits, hub_id, taken), tuple(remarks)


def _rows(splits: Any, hub_id: str, split: str) -> Rows:
    return Rows(lambda: rows_of(splits[split], f"{hub_id} {split}"))


def _loaded(hub_id: str, configuration: str | None) -> Any:
    with quiet():
        from datasets import load_dataset

        try:
            return load_dataset(hub_id, configuration)
        except (OSError, ConnectionError):
            raise InvalidDataset(
                f"The dataset {hub_id!r} is no file or folder here, was not downloaded before, and the hub does not "
                "give it. Check the name, go online, or give a local file."
            ) from None
        except ValueError as error:
            # Several configurations and none chosen, a wrong one, or files that are none of its formats.
            raise InvalidDataset(
                f"The dataset {hub_id!r} cannot be opened: {str(error).splitlines()[0]} A configuration is chosen with "
                f"{hub_id}:NAME."
            ) from None
