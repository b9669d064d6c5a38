"""The console script `tmm`."""

import sys


def main() -> None:
    """Run the command line on this machine's installation."""
    from adapters.cli import run

    sys.exit(run(_installation))


def _installation() -> object:
    from infra.wiring import Installation

    return Installation.from_environment()
