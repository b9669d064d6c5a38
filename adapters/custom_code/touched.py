"""What the code in this process writes and whom it calls, as far as the interpreter sees it."""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Self

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.move"}


class Touched:
    """Files written and addresses connected to since it was made. An audit hook stays for the process's life."""

    def __init__(self) -> None:
        self.connected: set[str] = set()
        self._written: set[str] = set()

    @classmethod
    def from_now_on(cls) -> Self:
        touched = cls()
        sys.addaudithook(touched._see)
        return touched

    def written_outside(self, folder: Path) -> list[str]:
        """Paths that were written and lie neither in the folder nor where libraries keep what they compile."""
        allowed = [
            Path(place).resolve()
            for place in (folder, os.environ.get("HOME", folder), tempfile.gettempdir(), "/dev", "/proc", "/sys")
        ]
        caches = [Path(sysconfig.get_paths()["purelib"]).resolve()]
        found = []
        for name in sorted(self._written):
            path = Path(name).absolute()
            resolved = path.parent.resolve() / path.name
            if not any(resolved.is_relative_to(place) for place in (*allowed, *caches)):
                found.append(name)
        return found

    def _see(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITES)
            if writes and isinstance(path, str | bytes):
                self._written.add(os.fsdecode(path))
        elif event in _CHANGES:
            for path in args[:2]:
                if isinstance(path, str | bytes):
                    self._written.add(os.fsdecode(path))
        elif event == "socket.connect":
            address = args[1]
            if isinstance(address, tuple) and not str(address[0]).startswith(("127.", "::1", "localhost")):
                self.connected.add(f"{address[0]}:{address[1]}")
        elif event == "socket.getaddrinfo" and args[0] not in (None, "localhost", "127.0.0.1", "::1", ""):
            self.connected.add(str(args[0]))
