"""Libraries that train are talkative; what people see is our own progress."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, advice or deprecations of the libraries: our own progress is what people see."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    import datasets
    from transformers.utils import logging

    datasets.disable_progress_bars()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        # transformers, trl and peft tell one another what they are about to rename; nobody here can follow that.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        # peft says so of every GPT-2, and then does what is right.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        yield
