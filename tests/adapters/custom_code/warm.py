"""Checks in processes that have the libraries already: each is forked from one that did nothing but import them.

`tmm check` imports them once for all its trials, in some ten seconds; over many subjects that would be most of the
time. All else is as in the process that `tmm check` starts: a folder, an environment and a life of its own.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from adapters.custom_code import child, conformance
from adapters.custom_code.running import Limits, bare_environment

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.adapters.custom_code.libraries"])


def in_a_warm_process(
    task: Mapping[str, Any], *, folder: Path, limits: Limits, on_message: Callable[[Mapping[str, Any]], None]
) -> Any:
    """Stands in for `in_a_process` where the task is a check."""
    # A thread that an imported library started would not live in the forks, and could have held a lock.
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")
    told, tells = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_check, args=(dict(task), folder, tells, conformance.SLOWEST_IMPORT_S))
    process.start()
    tells.close()
    result = None
    try:
        while True:
            match told.recv():
                case {"result": found}:
                    result = found
                case message:
                    on_message(message)
    except EOFError:
        process.join()
    assert result is not None, (folder / "output.log").read_text()
    return result


class _Told(child.Pipe):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, message: Mapping[str, Any]) -> None:
        self._connection.send(message)


def _check(task: Mapping[str, Any], folder: Path, tells: Connection, slowest_import_s: float) -> None:
    log = os.open(folder / "output.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    environment = bare_environment(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = True  # a fresh process reads it from there
    tempfile.tempdir = None
    os.chdir(folder)
    conformance.SLOWEST_IMPORT_S = slowest_import_s
    tells.send({"result": conformance.check(task, _Told(tells))})
