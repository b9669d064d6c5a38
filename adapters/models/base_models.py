"""Base models: the name of a sample or of what the operator put into a folder, a local folder, or a hub id."""

import hashlib
import json
import re
from pathlib import Path

from adapters.models.trying import Tried
from adapters.shared.plain_files import fault_in
from domain.errors import InvalidBaseModel
from domain.ports import BaseModel
from domain.use_cases.data import NamedData

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_OF_A_MODEL = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.tiktoken")


class BaseModels:
    """Opens base models."""

    def __init__(self, samples: Path, registered: Path | None = None, tried: Tried | None = None) -> None:
        self._samples = samples
        self._registered = registered
        self._tried = tried

    def names(self) -> list[str]:
        """The samples, and the folders in the operator's folder."""
        return sorted(self._named())

    def all(self) -> list[NamedData]:
        """Every one, by name, with the size of its files."""
        return [
            NamedData(
                name=name,
                sample=folder.parent == self._samples,
                size=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
            )
            for name, folder in sorted(self._named().items())
        ]

    def _named(self) -> dict[str, Path]:
        """Each name with its place. A sample keeps its name, because the demos ask for it."""
        folders = [self._registered, self._samples] if self._registered is not None else [self._samples]
        return {file.parent.name: file.parent for folder in folders for file in folder.glob("*/config.json")}

    def located(self, name: str) -> str:
        """The name as any process of this machine can open it: local paths absolute. Raises `InvalidBaseModel`."""
        if name in self._named():
            return name
        path = Path(name).expanduser()
        if path.exists():
            _must_be_a_model(path)
            return str(path.absolute())
        if _HUB_ID.fullmatch(name):
            return name
        raise InvalidBaseModel(
            f"There is no base model {name!r}: it is none of {', '.join(self.names())}, no folder on this machine "
            "and no hub id such as organisation/name."
        )

    def open(self, name: str) -> BaseModel:
        """The model's source and the hash of its files; one that is new here is tried. Raises `InvalidBaseModel`."""
        located = self.located(name)
        if (named := self._named().get(located)) is not None:
            folder = named
        elif Path(located).exists():
            folder = Path(located)
        else:
            folder = _downloaded(located)
        _must_be_a_model(folder)
        files_hash = _hash_of(folder)
        if self._tried is not None and folder.parent != self._samples and not self._is_a_sample(files_hash):
            self._tried.must_be_harmless(name, folder, files_hash)
        return BaseModel(name=name, source=str(folder), files_hash=files_hash)

    def _is_a_sample(self, files_hash: str) -> bool:
        return files_hash in {_hash_of(file.parent) for file in self._samples.glob("*/config.json")}


def _downloaded(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(_OF_A_MODEL)))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError):
        raise InvalidBaseModel(
            f"The base model {hub_id!r} is no folder here, was not downloaded before, and the hub cannot be reached. "
            "Check the name, go online, or give a local folder."
        ) from None
    except (HfHubHTTPError, HFValidationError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidBaseModel(f"The base model {hub_id!r} cannot be had from the hub: {reason}") from None


def _must_be_a_model(folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidBaseModel(f"The base model {folder} is a file. Give the folder that holds config.json.")
    if fault := fault_in(folder):
        raise InvalidBaseModel(f"{fault}, and a base model is plain files. Nothing of it was opened.")
    config = folder / "config.json"
    if not config.is_file():
        hint = ""
        if (folder / "adapter_config.json").is_file():
            hint = " It holds an adapter: merge it into its base model first, with: tmm export RUN"
        raise InvalidBaseModel(f"The folder {folder} is no base model: it has no config.json.{hint}")
    try:
        if not isinstance(json.loads(config.read_bytes()), dict):
            raise ValueError("it holds no JSON object")
    except ValueError as error:
        raise InvalidBaseModel(f"{config} cannot be read: {error}.") from None
    if not any(folder.glob("*.safetensors")):
        raise InvalidBaseModel(
            f"The folder {folder} has no weights (*.safetensors). Save the model there with save_pretrained."
        )
    if not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise InvalidBaseModel(
            f"The folder {folder} has no tokenizer (tokenizer.json). Save the tokenizer there with save_pretrained."
        )


def _hash_of(folder: Path) -> str:
    """sha256 over the names and contents of the files that make the model what it is."""
    digest = hashlib.sha256()
    for file in sorted({file for pattern in _OF_A_MODEL for file in folder.glob(pattern)}):
        with file.open("rb") as opened:
            contents = hashlib.file_digest(opened, "sha256").digest()
        digest.update(file.name.encode() + b"\0" + contents)
    return digest.hexdigest()
