"""The unit files say what systemd and launchd understand, and name commands and settings that there are."""

import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from adapters.cli.main_group import tmm
from infra.settings import CHECKOUT, Settings

SERVICES = CHECKOUT / "infra" / "services"
UNITS, AGENTS = sorted(SERVICES.glob("*.service")), sorted(SERVICES.glob("*.plist"))
INSTALLED = "/opt/training-method-management/.venv/bin/tmm"
PREFECTS = {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"}


def _is_understood(arguments: list[str]) -> None:
    with click.Context(tmm) as context:
        command = tmm.get_command(context, arguments[0])
        assert command is not None
        command.make_context(arguments[0], arguments[1:])  # refuses what it does not know


def test_there_is_a_server_and_a_worker_for_each_system() -> None:
    assert [file.name for file in (*UNITS, *AGENTS)] == [
        *("tmm-server.service", "tmm-worker@.service"),
        *("tmm.server.plist", "tmm.worker.plist"),
    ]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_of_systemd_is_valid_and_starts_a_command_that_there_is(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", text, flags=re.MULTILINE)
    program, *arguments = command.replace("%i", "cuda").split()
    assert program == INSTALLED
    _is_understood(arguments)
    if (systemd := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not here")
    here = Path(sys.executable).parent / "tmm"
    assert here.exists()
    copy = tmp_path / unit.name.replace("@", "@cuda")
    copy.write_text(text.replace(INSTALLED, str(here)))
    done = subprocess.run([systemd, "verify", str(copy)], capture_output=True, text=True, timeout=60, check=False)
    complaints = [line for line in done.stderr.splitlines() if copy.name in line]
    assert (complaints, done.returncode) == ([], 0), done.stderr


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_an_agent_of_launchd_is_valid_and_starts_a_command_that_there_is(agent: Path) -> None:
    read: dict[str, Any] = plistlib.loads(agent.read_bytes())
    assert f"{read['Label']}.plist" == agent.name
    program, *arguments = read["ProgramArguments"]
    assert program == INSTALLED
    _is_understood(arguments)


@pytest.mark.parametrize("file", [*UNITS, *AGENTS], ids=lambda file: file.name)
def test_the_settings_that_a_unit_names_are_there(file: Path) -> None:
    named = set(re.findall(r"\b(?:TMM|PREFECT)_[A-Z_]+\b", file.read_text()))
    assert "TMM_HOME" in named
    assert named <= {f"TMM_{name.upper()}" for name in Settings.model_fields} | PREFECTS
