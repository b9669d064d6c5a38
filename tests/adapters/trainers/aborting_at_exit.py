"""A trainer whose process would be aborted on its way out, as torch's threads sometimes do."""

import atexit
import os
import signal
from typing import Any

from pydantic import BaseModel

from domain.training import Progress, TrainingJob, TrainingResult


class Options(BaseModel):
    """It has what every trainer has that may run in several processes."""

    processes: int = 1
    machines: int = 2


def train_here(job: TrainingJob, options: Any, progress: Progress) -> TrainingResult:
    atexit.register(lambda: os.kill(os.getpid(), signal.SIGABRT))
    return TrainingResult(job.folder, is_adapter=True, steps=1, metrics={"loss": 1.0})
