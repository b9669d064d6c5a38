"""Folders as people have them: files for each part, as they lie on the hub too, or as `save_to_disk` wrote them."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from adapters.datasets.files.reading import SUFFIXES, kind_of_file
from domain.errors import InvalidDataset

TRAIN = "train"
# What the rows to measure with are called; the first that is there is taken.
MEASURED_WITH = ("held_out", "test", "valid", "validation", "val", "dev", "eval")

# Older files of the hub have a hash of what is in them behind their number.
_SHARD = re.compile(r"-(\d{1,6})-of-(\d{1,6})(?:-[0-9a-f]{8,64})?$")
_SAVED, _SAVED_PARTS = "state.json", "dataset_dict.json"


def may_be_a_dataset(path: Path) -> bool:
    """Whether a file or a folder looks like a dataset, without opening anything in it."""
    if path.name.startswith("."):
        return False
    if path.is_file():
        return kind_of_file(path) is not None
    if (path / _SAVED).is_file() or (path / _SAVED_PARTS).is_file():
        return True
    return any(map(Path.is_file, _named(path, TRAIN) or _within(path, TRAIN)))


def files_to_train_on(folder: Path) -> Sequence[Path]:
    """The files of the part `train`. Raises `InvalidDataset` that says what the folder has in its place."""
    if files := files_of(folder, TRAIN):
        return files
    raise InvalidDataset(
        f"The folder {folder} is no dataset: it has no {TRAIN}.jsonl (and held_out.jsonl, if any).{_way_out(folder)}"
    )


def files_of(folder: Path, part: str) -> Sequence[Path]:
    """The files of a part, in order; none where the folder does not have it.

    What is no plain file is among them, to be refused and not overlooked. Raises `InvalidDataset` for parts that are
    there twice or not whole.
    """
    if (folder / _SAVED_PARTS).is_file():
        return _saved(folder / part) if (folder / part).is_dir() else ()
    if (folder / _SAVED).is_file():
        return _saved(folder) if part == TRAIN else ()
    if not (named := _named(folder, part)):
        return _within(folder, part)
    alone = [file for file in named if _stem(file) == part]
    if len(alone) > 1 or (alone and len(named) > 1):
        one, other = (file.name for file in sorted(named, key=_order)[:2])
        raise InvalidDataset(f"The folder {folder} has {one} and {other}. Keep one of them.")
    return named if alone else _whole(folder, part, named)


def _within(folder: Path, part: str) -> Sequence[Path]:
    """The files in a folder that is called as the part is, in the folder itself or in `data` below it."""
    for place in (folder / part, folder / "data" / part):
        if (place / _SAVED).is_file():
            return _saved(place)
        there = sorted(place.iterdir()) if place.is_dir() else []
        if files := [file for file in there if kind_of_file(file) is not None]:
            return _whole(place, part, files) if any(_SHARD.search(_stem(file)) for file in files) else files
    return ()


def _named(folder: Path, part: str) -> list[Path]:
    """What is called as the part is, in the folder and in `data` below it, where the hub has it."""
    found: list[Path] = []
    for place in (folder, folder / "data"):
        there = sorted(place.glob(f"{part}*")) if place.is_dir() else []
        found += [file for file in there if _is_of(file, part) and (file.is_symlink() or not file.is_dir())]
    return found


def _is_of(file: Path, part: str) -> bool:
    return kind_of_file(file) is not None and (_stem(file) == part or bool(_SHARD.fullmatch(_stem(file)[len(part) :])))


def _stem(file: Path) -> str:
    """The file's name without the suffix of its format."""
    suffix = max((suffix for suffix in SUFFIXES if file.name.lower().endswith(suffix)), key=len, default="")
    return file.name[: len(file.name) - len(suffix)]


def _order(file: Path) -> int:
    return next((number for number, suffix in enumerate(SUFFIXES) if file.name.lower().endswith(suffix)), 0)


def _whole(folder: Path, part: str, shards: list[Path]) -> list[Path]:
    """All pieces of a part, `train-00000-of-00002` and so on, in their order."""
    numbers = {}
    for file in shards:
        found = _SHARD.search(_stem(file))
        if found:
            numbers[int(found[1])] = (file, int(found[2]))
    wanted = max(count for _, count in numbers.values())
    if missing := [number for number in range(wanted) if number not in numbers]:
        raise InvalidDataset(
            f"The folder {folder} has {len(numbers)} of the {wanted} files of {part}: number {missing[0]} "
            f"({_SHARD.sub('', _stem(shards[0]))}-{missing[0]:05}-of-{wanted:05}) is missing. Download it too."
        )
    if len(shards) > wanted:
        raise InvalidDataset(
            f"The folder {folder} has {len(shards)} files of {part}, which say that they are {wanted}."
        )
    return [numbers[number][0] for number in sorted(numbers)]


def _saved(folder: Path) -> list[Path]:
    """The files that `save_to_disk` wrote into a folder and names in it."""
    try:
        named = json.loads((folder / _SAVED).read_text(encoding="utf-8"))["_data_files"]
        files = [folder / str(file["filename"]) for file in named]
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidDataset(
            f"The folder {folder} looks like one of save_to_disk, and its {_SAVED} cannot be read. Save it again."
        ) from None
    if outside := [file["filename"] for file in named if Path(str(file["filename"])).name != file["filename"]]:
        raise InvalidDataset(
            f"The {_SAVED} of the folder {folder} names {outside[0]}, which lies outside. Save it again."
        )
    if missing := [file.name for file in files if not file.exists()]:
        raise InvalidDataset(
            f"The folder {folder} has no {missing[0]}, which its {_SAVED} names. Copy all of its files."
        )
    return files


def _way_out(folder: Path) -> str:
    there = sorted(path for place in (folder, folder / "data") if place.is_dir() for path in place.iterdir())
    if files := [file for file in there if file.is_file() and may_be_a_dataset(file)]:
        file = min(files, key=lambda file: TRAIN not in file.name.lower())
        return f" It has {file.name}: give {file}, or call that {TRAIN}{file.name[len(_stem(file)) :]}."
    if folders := [path for path in there if path.is_dir() and may_be_a_dataset(path)]:
        return f" It has the folder {folders[0].name}, which is one: give {folders[0]}."
    return ""
