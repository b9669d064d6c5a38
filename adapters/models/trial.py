"""The process in which a base model is tried; its one argument is the model's folder, and it works in an empty one.

It tells what it is at, and at the end whether anything was found.

A chat template is a program and a configuration a wish for memory; here both may run away without harm. What cannot be
opened at all is not said here: whoever opens it says it better.
"""

import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.shared import confinement
from adapters.shared.opening import config_of, tokenizer_of
from adapters.shared.plain_files import reach_of

MOST_SECONDS = {"the tokenizer": 60, "the chat template": 10, "the configuration": 60}
"""Of computing, for each thing that is tried: large vocabularies take some to be read."""
_MOST_MEMORY = 2 * 2**30
_MOST_WRITTEN = 1_000_000
_TEXT = "How much is 17 + 25? Þetta er prufa. 请回答。\n" * 40


def main() -> None:
    """Try the model, with all that it may use measured out."""
    folder = Path(sys.argv[1])
    tell(at="the libraries")
    if not confinement.missing():
        confinement.confine(reads=[folder, reach_of(folder)], writes=[Path.cwd()])
    try:
        import transformers  # noqa: F401 -- what it takes is not the model's
    except ImportError:
        tell(found="")
        return
    try:
        tell(found=_found(str(folder)))
    except MemoryError:
        tell(found="takes more memory than any does")


def tell(**what: str) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _begin(what: str) -> None:
    """Say what is tried next, and measure out what it may use."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + MOST_SECONDS[what]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + _MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
    tell(at=what)


def _found(folder: str) -> str:
    """What is wrong, as the end of a sentence that begins with what was tried; empty where nothing is."""
    _begin("the tokenizer")
    try:
        tokenizer = tokenizer_of(folder)
        tokenizer.encode(_TEXT)
    except MemoryError:
        raise
    except Exception:
        tokenizer = None
    if tokenizer is not None:
        _begin("the chat template")
        for template in _templates(tokenizer):
            for messages in _conversations():
                if (written := _written(tokenizer, template, messages)) > _MOST_WRITTEN:
                    return f"writes {written} characters for {len(messages)} messages of a few words"
    _begin("the configuration")
    return _shapes(folder)


def _templates(tokenizer: Any) -> list[str]:
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        return list(template.values())
    return [str(template)] if template else []


def _conversations() -> Iterator[list[dict[str, str]]]:
    asked, said = {"role": "user", "content": "What is 1 + 1?"}, {"role": "assistant", "content": "It is 2."}
    yield [asked]
    yield [asked, said]
    yield [{"role": "system", "content": "Be brief."}, asked, said]
    yield [asked, said] * 12
    yield [{"role": "user", "content": _TEXT}, {"role": "assistant", "content": "<think>\nOne.\n</think>\n\nIt is 42."}]
    yield [asked, {"role": "tool", "content": ""}, {"role": "stranger", "content": ""}]


def _written(tokenizer: Any, template: str, messages: list[dict[str, str]]) -> int:
    longest = 0
    for asks in (False, True):
        try:
            text = tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=False, add_generation_prompt=asks
            )
        except MemoryError:
            raise
        except Exception:
            continue  # templates refuse what they do not know
        longest = max(longest, len(text))
    return longest


def _shapes(folder: str) -> str:
    """Whether the configuration wishes for many times the weights that there are; nothing is allocated for that."""
    from adapters.shared.weights import described

    try:
        import torch
        from transformers import AutoModelForCausalLM

        config = config_of(folder)
        if getattr(config, "quantization_config", None) or getattr(config, "quantization", None):
            return ""  # its weights are packed, so they cannot be counted like this
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        wished = sum(weight.numel() for weight in model.parameters())
    except MemoryError:
        raise
    except Exception:
        return ""
    held = sum(described(Path(folder)).values())
    return f"describes {wished:,} weights, and the files hold {held:,}" if wished > 4 * held + 1_000_000 else ""
