"""What runs under way tell, read as it comes: of a file that grows, only what is new is read and parsed."""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FILES_KEPT = 50


@dataclass
class _Read:
    inode: int
    upto: int = 0
    by_step: dict[int, Mapping[str, Any]] = field(default_factory=dict)


class LinesTold:
    """The lines of runs' metrics files, by step; a step that was taken again after an interruption counts once."""

    def __init__(self) -> None:
        self._files: OrderedDict[Path, _Read] = OrderedDict()
        self._one_at_a_time = threading.Lock()

    def lines(self, file: Path) -> Sequence[Mapping[str, Any]]:
        """`step`, `total`, `at` and the metrics of every step so far; none while there is no file."""
        with self._one_at_a_time:
            try:
                with file.open("rb") as opened:
                    read = self._known(file)
                    opened.seek(read.upto)
                    new = opened.read()
            except FileNotFoundError:
                return []
            whole = new[: new.rfind(b"\n") + 1]  # the last line may still be written
            read.upto += len(whole)
            for line in whole.splitlines():
                with suppress(ValueError, KeyError, TypeError):  # a process was killed while it wrote this one
                    told = json.loads(line)
                    read.by_step[told["step"]] = told
            return [read.by_step[step] for step in sorted(read.by_step)]

    def _known(self, file: Path) -> _Read:
        found = file.stat()
        read = self._files.get(file)
        if read is None or read.inode != found.st_ino or found.st_size < read.upto:
            read = self._files[file] = _Read(found.st_ino)
        self._files.move_to_end(file)
        while len(self._files) > _FILES_KEPT:
            self._files.popitem(last=False)
        return read
