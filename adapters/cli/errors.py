"""Errors as people meet them: one or two sentences on standard error, and an exit code that scripts can trust."""

import os
import sys
import traceback
from collections.abc import Callable

import click

from adapters.cli.output import remark, remark_lines
from adapters.shared.showing.remedies import with_remedies
from domain.errors import (
    BadResult,
    CustomCodeFailed,
    InvalidInput,
    InvalidLicence,
    NotFound,
    Refused,
    TrainingMethodError,
    Unreachable,
)
from domain.secrets import without_secrets

UNEXPECTED = 1
INVALID = 2
REFUSED = 3
NOT_FOUND = 4
UNREACHABLE = 5
FAILED = 6
INTERRUPTED = 130

# The first that fits: a licence that does not hold is a refusal to scripts, although it is also an input.
EXIT_CODES: tuple[tuple[type[TrainingMethodError], int], ...] = (
    (InvalidLicence, REFUSED),
    (Refused, REFUSED),
    (NotFound, NOT_FOUND),
    (InvalidInput, INVALID),
    (Unreachable, UNREACHABLE),
    (BadResult, FAILED),
    (CustomCodeFailed, FAILED),
)

Explain = Callable[[Exception], TrainingMethodError | None]
Shown = Callable[[str], str]


class TrainingFailed(click.ClickException):
    """The training that was followed came to no good end."""

    exit_code = FAILED


def tell(  # noqa: PLR0911 -- one a kind of error
    error: BaseException, *, explain: Explain | None = None, shown: Shown = without_secrets, debug: bool
) -> int:
    """Say what went wrong, on standard error; the exit code. `shown` hides secrets in what is said."""
    if debug:
        remark_lines(shown("".join(traceback.format_exception(error)).rstrip("\n")))
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            remark("Interrupted.")
            return INTERRUPTED
        case BrokenPipeError() if _reader_is_gone():
            return 0
        case click.exceptions.NoArgsIsHelpError():
            remark_lines(error.format_message())
            return error.exit_code
        case click.ClickException():
            remark(f"error: {shown(_usage(error))}")
            return error.exit_code
    ours = error if isinstance(error, TrainingMethodError) else _explained(error, explain)
    if ours is not None:
        remark(f"error: {shown(with_remedies(ours))}")
        return exit_code_of(ours)
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    hint = "" if debug else " Append --debug to the command to see where, and please report it."
    remark(f"error: Something unexpected went wrong ({shown(words)}).{hint}")
    return UNEXPECTED


def exit_code_of(error: TrainingMethodError) -> int:
    """The exit code that tells scripts of this error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), UNEXPECTED)


def _usage(error: click.ClickException) -> str:
    words = error.format_message()
    if not words.endswith((".", "?", ")")):
        words += "."
    if isinstance(error, click.UsageError) and error.ctx is not None:
        words += f" See: {error.ctx.command_path} --help"
    return words


def _explained(error: BaseException, explain: Explain | None) -> TrainingMethodError | None:
    return explain(error) if explain is not None and isinstance(error, Exception) else None


def _reader_is_gone() -> bool:
    """Whether it is our own output that nobody reads any more, as in `tmm audit | head`."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still unwritten must go somewhere, or the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
