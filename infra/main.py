"""The console script `tmm`."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.service import Service


def main() -> None:
    """Run the command line on this machine's installation."""
    from adapters.cli import run
    from adapters.shared.privacy import keep_to_oneself

    keep_to_oneself()
    sys.exit(run(_installation))


def _installation() -> "Service":
    from infra.protection.closing import close_to_others
    from infra.service import Service

    installation = Service.from_environment()
    close_to_others(installation.settings)
    return installation


if __name__ == "__main__":
    main()
