"""The command line starts at once: it imports nothing that the command does not need."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ["prefect", "torch", "transformers", "trl", "peft", "datasets", "mlx", "mlx_lm", "psycopg", "cryptography",
         "jwt", "httpx", "rich", "yaml", "numpy", "fsspec"]  # fmt: skip

SCRIPT = """
import json, sys
from adapters.cli import run
from infra.service import Service
code = run(Service.from_environment, sys.argv[1:])
print(json.dumps({"code": code, "heavy": [name for name in %r if name in sys.modules]}), file=sys.stderr)
"""


@pytest.mark.parametrize("args", [["--help"], ["list"], ["show", "custom01"], ["runs"], ["audit"], ["train", "--help"]])
def test_a_command_imports_nothing_heavy(home: Path, args: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT % HEAVY, *args],
        env=os.environ | {"TMM_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stderr.splitlines()[-1]) == {"code": 0, "heavy": []}
