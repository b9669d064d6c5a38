"""What methods' own code may use on this machine."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from adapters.custom_code.running import Limits

_LEFT_FREE_GB, _SMALLEST_FILE_GB = 2.0, 1.0


@dataclass(frozen=True)
class Allowance:
    """What is allowed beside what the machine has: `memory_gb` of 0 is nine tenths of its memory.

    `silence_s` is the longest time without a reported step. `folder` lies on the disk that is written to.
    """

    folder: Path
    memory_gb: float
    silence_s: float

    def now(self, *, silence_s: float | None = None) -> Limits:
        """The limits, with what the disk has free at this moment."""
        there = next(place for place in (self.folder, *self.folder.parents) if place.exists())
        return Limits(
            memory_gb=self.memory_gb or psutil.virtual_memory().total * 0.9 / 2**30,
            silence_s=silence_s or self.silence_s,
            file_gb=max(_SMALLEST_FILE_GB, shutil.disk_usage(there).free / 2**30 - _LEFT_FREE_GB),
        )
