"""What safetensors files say of the tensors in them, read from their heads, and checked against the files' size."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from domain.errors import InvalidBaseModel

_LARGEST_HEAD = 100_000_000
"""Bytes; the library that opens the files afterwards takes none that is larger."""
_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32,
         "U16": 16, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8}  # fmt: skip


def described(folder: Path) -> dict[str, int]:
    """The number of values of each tensor. Raises `InvalidBaseModel` where that cannot be so."""
    return {name: math.prod(tensor["shape"]) for name, tensor in tensors_of(folder)}


def tensors_of(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each tensor's name, type and shape. Raises `InvalidBaseModel` where a file cannot hold what it describes."""
    for file in sorted(folder.glob("*.safetensors")):
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= min(_LARGEST_HEAD, size - 8):
                raise InvalidBaseModel(f"{file} is damaged: it does not begin as a safetensors file does.")
            try:
                head = json.loads(opened.read(length))
                tensors = {name: tensor for name, tensor in head.items() if name != "__metadata__"}
            except (ValueError, RecursionError, AttributeError):
                raise InvalidBaseModel(f"{file} is damaged: it does not begin as a safetensors file does.") from None
        for name, tensor in tensors.items():
            if not _can_be(tensor, size - 8 - length):
                raise InvalidBaseModel(
                    f"{file} is damaged: it says of the tensor {name[:80]!r} what a file of {size:,} bytes cannot hold."
                )
            yield name, tensor


def _can_be(tensor: Any, room: int) -> bool:
    try:
        (begin, end), shape, bits = tensor["data_offsets"], tensor["shape"], _BITS.get(tensor["dtype"])
        if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
            return False
        if len(shape) > 32 or max(shape, default=0) > 2**48 or not begin <= end <= room:
            return False
        return bits is None or math.prod(shape) * bits == (end - begin) * 8
    except (KeyError, TypeError, ValueError):
        return False
