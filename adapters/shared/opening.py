"""The one place in which models and tokenizers are opened: their files are data, and no code beside them ever runs.

Without a word about it, transformers asks at the terminal whether a model's own code shall run, and takes a yes.
"""

from pathlib import Path
from typing import Any


def tokenizer_of(source: str, **how: Any) -> Any:
    """The tokenizer, by a local folder or a hub id."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source, trust_remote_code=False, **how)


def config_of(source: str) -> Any:
    """What the model says of itself."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(source, trust_remote_code=False)


def model_of(kind: Any, source: str, **how: Any) -> Any:
    """The model, as one of transformers' `AutoModelFor…` classes opens it."""
    return kind.from_pretrained(source, trust_remote_code=False, **how)


def opened_on_mlx(source: str, adapter: Path | None = None) -> tuple[Any, Any]:
    """The model, with an adapter if there is one, and mlx_lm's wrapper of its tokenizer."""
    from mlx_lm.utils import load

    opened = load(
        source,
        # It opens the tokenizer with nothing else, and so would ask.
        tokenizer_config={"trust_remote_code": False},
        adapter_path=str(adapter) if adapter is not None else None,
        trust_remote_code=False,
    )
    return opened[0], opened[1]
