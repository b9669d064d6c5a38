"""At which tokens an answer ends: the tokenizer's end token, and the one with which a chat template ends a turn.

Base models often name the end of a text alone (`<|endoftext|>`), while what their chat template teaches them to stop
with is another token (`<|im_end|>`). Whoever lets a trained model answer has to stop at both, and so do other programs:
they read it in `generation_config.json`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FILE = "generation_config.json"

_ASKED, _ANSWERED = "Which colour?", "The colour blue."


def ends_of(tokenizer: Any, named: int | Iterable[int] | None = None) -> list[int]:
    """The tokens at which an answer ends, with those that a model's configuration has `named`; in rising order."""
    also = [named] if isinstance(named, int) else list(named or ())
    return sorted({end for end in (tokenizer.eos_token_id, _turn_end(tokenizer), *also) if end is not None})


def keep_ends(folder: Path, tokenizer: Any) -> None:
    """Let the generation config in the folder of a model, or of an adapter, name every token at which answers end.

    It is left as it is, or not made, where it says so already.
    """
    file = folder / FILE
    kept = json.loads(file.read_bytes()) if file.is_file() else None
    named = (kept or {}).get("eos_token_id")
    ends = ends_of(tokenizer, named)
    told = [named] if isinstance(named, int) else sorted(named or [tokenizer.eos_token_id])
    if ends == told:
        return
    begin = kept or {"bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id}
    _write(file, begin | {"eos_token_id": ends})


def take_over_ends(trained: Path, merged: Path) -> None:
    """Let a merged model end where the adapter in the folder `trained` learned to."""
    if not (trained / FILE).is_file():
        return
    told = json.loads((trained / FILE).read_bytes())
    kept = json.loads((merged / FILE).read_bytes()) if (merged / FILE).is_file() else told
    _write(merged / FILE, kept | {"eos_token_id": told["eos_token_id"]})


def _write(file: Path, config: dict[str, Any]) -> None:
    said = {name: value for name, value in config.items() if value is not None}
    file.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _turn_end(tokenizer: Any) -> int | None:
    """The token that the chat template writes right after an answer, if it is one of the tokenizer's own tokens."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    said = [{"role": "user", "content": _ASKED}, {"role": "assistant", "content": _ANSWERED}]
    try:
        written = str(tokenizer.apply_chat_template(said, tokenize=False))
    except Exception:  # chat templates raise what they like
        return None
    _, found, after = written.rpartition(_ANSWERED)
    ids = tokenizer.encode(after.lstrip(), add_special_tokens=False) if found and after.strip() else []
    own = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    return int(ids[0]) if ids and ids[0] in own else None
