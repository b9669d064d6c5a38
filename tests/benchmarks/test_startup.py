"""How soon `tmm --help` and `tmm list` answer, beside a bare `import click`. Aims: 0.15 s and 0.3 s."""

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from infra.settings import CHECKOUT

ROUNDS = 5


def measured(args: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Processor and wall time of one process, in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *args], env=environment, cwd=CHECKOUT, capture_output=True, check=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, seconds


def test_the_command_line_answers_soon(tmp_path: Path) -> None:
    environment = os.environ | {"TMM_HOME": str(tmp_path / "home"), "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    commands = {"import click": ["-c", "import click"]}
    commands |= {f"tmm {words}": ["-m", "infra.main", words] for words in ("--help", "list")}
    for args in commands.values():
        measured(args, environment)  # compiles, makes the data folder
    times = {name: [measured(args, environment) for _ in range(ROUNDS)] for name, args in commands.items()}
    least = {name: min(processor for processor, _ in figures) for name, figures in times.items()}
    for name, figures in times.items():
        wall = [seconds for _, seconds in figures]
        print(
            f"{name:14} processor {least[name]:.3f} s, wall {min(wall):.3f} s to {max(wall):.3f} s "
            f"(median {statistics.median(wall):.3f} s), {least[name] / least['import click']:.1f} times a bare click"
        )
    assert least["tmm --help"] < 3 * least["import click"]
    assert least["tmm list"] < 12 * least["import click"]
