"""The logs of our processes, kept in files and by Prefect: no record holds a secret."""

import logging
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from infra.explaining import shown
from infra.settings import Settings


class _Records:
    """Makes log records whose message and traceback hide the secrets of these settings, and what looks like one."""

    def __init__(self, make: Callable[..., logging.LogRecord], settings: Settings) -> None:
        self.make = make
        self._settings = settings

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.make(*args, **kwargs)
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            return record  # logging itself says what is wrong with it
        if (clean := shown(message, self._settings)) != message:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[0] is not None:
            # What is there already, no formatter makes again.
            record.exc_text = shown(logging.Formatter().formatException(record.exc_info), self._settings)
        return record


def hide_secrets_in_logs(settings: Settings) -> None:
    """From here on nothing that this process logs, and no traceback that ends it, holds a secret."""
    made = logging.getLogRecordFactory()
    logging.setLogRecordFactory(_Records(made.make if isinstance(made, _Records) else made, settings))

    def end(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        sys.stderr.write(shown("".join(traceback.format_exception(kind, error, where)), settings))

    sys.excepthook = end
