"""Checkpoints as files of a folder: one each, numbered, never overwritten. Copy the folder elsewhere, often."""

import os
from pathlib import Path

from pydantic import ValidationError

from domain.audit.proving.proof import Checkpoint, canonical
from domain.errors import InvalidInput


class CheckpointFolder:
    """Keeps checkpoints in this folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Checkpoint]:
        """Every checkpoint, by the number in its file's name."""
        return [read_checkpoint(file) for file in self._files()]

    def newest(self) -> Checkpoint | None:
        files = self._files()
        return read_checkpoint(files[-1]) if files else None

    def keep(self, checkpoint: Checkpoint) -> bool:
        """False when one of this number is there already: it is never overwritten."""
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f".{checkpoint.number}-{os.getpid()}"
        unfinished.write_bytes(canonical(checkpoint.model_dump(mode="json")) + b"\n")
        try:
            os.link(unfinished, self.file_of(checkpoint))
        except FileExistsError:
            return False
        finally:
            unfinished.unlink()
        return True

    def file_of(self, checkpoint: Checkpoint) -> Path:
        return self._folder / f"checkpoint-{checkpoint.number:08}.json"

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("checkpoint-*.json"))


def read_checkpoint(file: Path) -> Checkpoint:
    """A checkpoint from its file. Raises `InvalidInput`."""
    try:
        return Checkpoint.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InvalidInput(f"The checkpoint {file} cannot be read ({error.strerror}).") from None
    except ValidationError:
        raise InvalidInput(f"The file {file} is no checkpoint.") from None
