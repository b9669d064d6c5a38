"""The console script `tmm`."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.wiring import Installation


def main() -> None:
    """Run the command line on this machine's installation."""
    from adapters.cli import run

    sys.exit(run(_installation))


def _installation() -> "Installation":
    from infra.wiring import Installation

    return Installation.from_environment()


if __name__ == "__main__":
    main()
