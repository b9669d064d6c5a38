"""Whether methods' own code is kept from the rest of this machine, found by trying it."""

import subprocess
import sys
from pathlib import Path

from adapters.shared import confinement
from domain.use_cases.operators.health import Check
from infra.settings import CHECKOUT

_NAME = "code of methods"
_WITHIN_S = 30
_TRIES = """
import socket, sys
from pathlib import Path
from adapters.shared import confinement
confinement.confine(reads=[], writes=[])
for attempt in (lambda: list(Path(sys.argv[1]).iterdir()), socket.socket):
    try:
        attempt()
    except (PermissionError, FileNotFoundError):
        continue
    sys.exit(3)
"""


def confinement_check(data_folder: Path) -> Check:
    """Try in a process of its own whether the data folder and the network stay closed to confined code."""
    if why := confinement.missing():
        words = (
            f"Not confined here: {why}. It gets nothing of the service's environment, and its memory, files and "
            f"processes are limited, but it may read what {_user()} may read, and use the network"
        )
        return Check(_NAME, ok=True, words=words)
    tried = subprocess.run(
        [sys.executable, "-P", "-s", "-c", _TRIES, str(data_folder)],
        env={"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        check=False,
        timeout=_WITHIN_S,
    )
    if tried.returncode != 0:
        words = (
            f"The kernel offers Landlock {confinement.version()}, but {data_folder} or the network stayed open to "
            "confined code. Move TMM_HOME out of the folders of the system and of Python"
        )
        return Check(_NAME, ok=False, words=words)
    words = (
        f"Confined by Landlock {confinement.version()} and seccomp: it reads its own folder, data and base model, "
        "writes in its run's folder, and uses no network"
    )
    return Check(_NAME, ok=True, words=words)


def _user() -> str:
    from infra.operating_system_user import operating_system_user

    return operating_system_user()
