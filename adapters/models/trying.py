"""A base model that nobody here has met is tried once, in a process that may run away without harm."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from uuid import uuid4

from adapters.models import trial
from adapters.shared.weights import tensors_of
from domain.errors import InvalidBaseModel

_TRIES = "from adapters.models.trial import main; main()"
_WITHIN_S = 300
_PACKED = 32
"""How many of a model's numbers one of its files' numbers may hold, where it is quantised."""
_SIZES = ("hidden_size", "n_embd", "d_model", "intermediate_size", "n_inner", "ffn_dim", "vocab_size", "head_dim")
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers")


class Tried:
    """What trials found, by the hash of the models' files; kept in a folder of this machine."""

    def __init__(self, kept_in: Path) -> None:
        self._kept_in = kept_in

    def must_be_harmless(self, name: str, folder: Path, files_hash: str) -> None:
        """Raise `InvalidBaseModel` for a model that was ended in its trial, now or when it was first met."""
        note = self._kept_in / f"{files_hash}-{_kit()}.json"
        try:
            found = str(json.loads(note.read_bytes())["found"])
        except (OSError, ValueError, KeyError, TypeError):
            _must_describe_its_files(folder)
            found = _tried(folder)
            self._keep(note, found)
        if found:
            raise InvalidBaseModel(
                f"The base model {name} was tried and ended: {found}. Choose another one, or mend its files."
            )

    def _keep(self, note: Path, found: str) -> None:
        with suppress(OSError):  # then it is tried again
            self._kept_in.mkdir(parents=True, exist_ok=True)
            begun = note.with_name(f"{note.name}.{uuid4()}")
            begun.write_text(json.dumps({"found": found}), encoding="utf-8")
            os.replace(begun, note)


def _kit() -> str:
    """What a trial depends on beside the model: how it is tried, and the libraries that open it."""
    digest = hashlib.sha256(Path(trial.__file__).read_bytes())
    for library in ("transformers", "tokenizers"):
        with suppress(PackageNotFoundError):
            digest.update(version(library).encode() + b"\0")
    return digest.hexdigest()[:12]


def _must_describe_its_files(folder: Path) -> None:
    """Raise `InvalidBaseModel` where the configuration names sizes that no tensor of the files has."""
    tensors = dict(tensors_of(folder))
    largest = max((length for tensor in tensors.values() for length in tensor["shape"]), default=0)
    config = json.loads((folder / "config.json").read_bytes())
    for part in (config, config.get("text_config")):
        for name, most in (*((size, largest * _PACKED) for size in _SIZES), *((n, len(tensors)) for n in _LAYERS)):
            value = part.get(name) if isinstance(part, dict) else None
            if isinstance(value, int) and value > max(most, 1024 if name in _SIZES else 0):
                raise InvalidBaseModel(
                    f"{folder / 'config.json'} says that {name} is {str(value)[:20]}, and no file of the model holds "
                    "tensors for that. Give the configuration that belongs to the weights."
                )


def _tried(folder: Path) -> str:
    """What the trial found, in words; empty where the model did no harm."""
    with tempfile.TemporaryDirectory(prefix="tmm-trial-") as here:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH", "TZ") if name in os.environ}
        own = Path(__file__).resolve().parents[2]
        offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
        environment = kept | offline | {"PYTHONPATH": str(own), "HOME": here, "TMPDIR": here}
        try:
            ended = subprocess.run(
                [sys.executable, "-P", "-s", "-c", _TRIES, str(folder.absolute())],
                cwd=here,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_WITHIN_S,
                check=False,
            )
            told, how = ended.stdout, "was ended by the system"
        except subprocess.TimeoutExpired as late:
            told, how = late.stdout or b"", "did not end"
    said = [json.loads(line) for line in told.splitlines() if line.startswith(b"{")]
    at = next((line["at"] for line in reversed(said) if "at" in line), "")
    found = next((line["found"] for line in said if "found" in line), None)
    if found is not None:
        return f"{at} {found}" if found else ""
    if at in ("", "the libraries"):
        return ""  # it was not the model's turn yet: whatever it was, the model did not do it
    return f"{at} {how} after {trial.MOST_SECONDS[at]} seconds of computing, or beyond the memory that it may use"
