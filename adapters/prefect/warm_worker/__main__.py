"""Starts the warm worker, or Prefect's own process worker where runs cannot start warm: --pool POOL --name NAME."""

import argparse
import asyncio
import contextlib
import os
import sys
from pathlib import Path

from adapters.prefect.warm_worker.compatibility import why_not

_MODULES = Path(__file__).with_name("modules")


def main() -> None:
    """Work until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", required=True)
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    if (reason := why_not()) is not None:
        print(f"{reason} Each run starts as a fresh process.", flush=True)  # noqa: T201 - the worker's log
        command = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process"]
        os.execv(sys.executable, [*command, "--pool", arguments.pool, "--name", arguments.name])
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_work(arguments.pool, arguments.name))


async def _work(pool: str, name: str) -> None:
    from prefect.utilities.processutils import setup_signal_handlers_worker

    from adapters.prefect.warm_worker.worker import WarmProcessWorker

    setup_signal_handlers_worker(os.getpid(), "the warm worker", print)
    await WarmProcessWorker(work_pool_name=pool, name=name, modules=_modules(pool)).start()


def _modules(pool: str) -> tuple[str, ...]:
    """What runs of this pool import, as `make_module_list.py` found; nothing for a pool that is not ours."""
    file = _MODULES / f"{pool}.txt"
    return tuple(file.read_text().split()) if file.exists() else ("prefect.main", "prefect.flow_engine")


if __name__ == "__main__":
    main()
