"""An installation is put together when it is asked for, and lets go of everything."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.wiring import Installation


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no /proc to see open files in")
def test_closing_an_installation_leaves_no_file_open(tmp_path: Path) -> None:
    with Installation(Settings(home=tmp_path)) as installation:
        assert installation.catalogue.selectable()
        assert _open_below(tmp_path)
    assert _open_below(tmp_path) == []


def _open_below(folder: Path) -> list[str]:
    names = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that listed them is gone
            names.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [name for name in names if name.startswith(str(folder))]
