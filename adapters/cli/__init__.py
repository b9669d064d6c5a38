"""The `tmm` command line. Nothing here imports more than click before a command needs it."""

from adapters.cli.main_group import run

__all__ = ["run"]
