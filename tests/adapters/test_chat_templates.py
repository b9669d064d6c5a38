"""What is learned under every chat template that TRL ships, over a table of conversations."""

import re
from pathlib import Path
from typing import Any

import pytest
import trl

from adapters import chat_templates
from adapters.conversations import encode, prompt_ids
from domain.errors import InvalidInput
from infra import samples

BASE = Path(samples.__file__).parent / "small-base"
TEMPLATES = Path(trl.__file__).parent / "chat_templates"
ORIGINALS = sorted(file.stem for file in TEMPLATES.glob("*.jinja") if not file.stem.endswith("_training"))
WITH_TWIN = [name for name in ORIGINALS if (TEMPLATES / f"{name}_training.jinja").is_file()]
WITHOUT_TWIN = [name for name in ORIGINALS if name not in WITH_TWIN]


def user(words: str) -> dict[str, Any]:
    return {"role": "user", "content": words}


def assistant(words: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": words, **more}


SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"id": "c0", "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
RESULT = {"role": "tool", "name": "add", "tool_call_id": "c0", "content": "Result 3"}
NUMBER = {"type": "number", "description": "One of the two"}
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers",
        "parameters": {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}, "required": ["a", "b"]},
    },
}
ONE = [user("Hello?"), assistant("Hi.")]
SEVERAL = [user("One?"), assistant("Uno."), user("Two?"), assistant("Dos."), user("Three?"), assistant("Tres.")]
THOUGHTS = [
    user("One?"),
    assistant("Uno.", reasoning_content="In Spanish."),
    user("Two?"),
    assistant("Dos.", reasoning_content="Again."),
]
TAGS = [
    user("One?"),
    assistant("<think>\nIn Spanish.\n</think>\n\nUno."),
    user("Two?"),
    assistant("<think>\nAgain.\n</think>\n\nDos."),
]
CALLED = [user("1+2?"), assistant("", tool_calls=[CALL]), RESULT, assistant("It is three.")]

CONVERSATIONS: dict[str, dict[str, Any]] = {
    "one turn": {"messages": ONE},
    "several turns": {"messages": SEVERAL},
    "a system message": {"messages": [SYSTEM, *SEVERAL]},
    "thoughts in a field": {"messages": THOUGHTS},
    "thoughts in tags": {"messages": TAGS},
    "tools": {"messages": CALLED, "tools": [TOOL]},
}
# What a family's template has no place for is refused: with its own words where it has some, with ours where not.
REFUSED = {
    "a system message": {"gemma": "System role not supported"},
    "tools": {
        **dict.fromkeys(("cohere", "cohere2", "gemma", "gemma3"), "must alternate"),
        "llava_next": "Only user and assistant roles",
        **dict.fromkeys(
            ("deepseek_r1_distill", "idefics3", "lfm2", "llama3", "phi3", "phi3_5", "qwen2_5_vl", "smolvlm"),
            "leaves out the call of the tool add of message 2",
        ),
    },
}
TABLE = [
    pytest.param(name, row, REFUSED.get(kind, {}).get(name), id=f"{name}, {kind}")
    for kind, row in CONVERSATIONS.items()
    for name in ORIGINALS
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE, local_files_only=True)


def template(name: str) -> str:
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


def learned(tokenizer: Any, row: dict[str, Any]) -> list[str]:
    """The texts that are learned, each of tokens that follow one another."""
    encoded = encode(tokenizer, row)
    marks = "".join("x" if is_so else "." for is_so in encoded.learned)
    return [tokenizer.decode(encoded.ids[found.start() : found.end()]) for found in re.finditer("x+", marks)]


@pytest.mark.parametrize(("name", "row", "refused"), TABLE)
def test_every_answer_is_learned_under_every_template_or_the_row_is_refused(
    tokenizer: Any, name: str, row: dict[str, Any], refused: str | None
) -> None:
    tokenizer.chat_template = template(name)
    if refused:
        with pytest.raises(Exception, match=refused):
            encode(tokenizer, row)
        return
    said = learned(tokenizer, row)
    answers = [message for message in row["messages"] if message["role"] == "assistant"]
    words = [str(answer["content"]).rpartition("</think>")[2].strip() for answer in answers]
    where = [next((i for i, text in enumerate(said) if word in text), -1) if word else 0 for word in words]
    assert -1 not in where
    assert where == sorted(where)
    # A mark that ends it, or at the end of all the end token, is learned with each.
    assert all(text.rstrip().endswith(">") for text in said if "tool_call" not in text)
    other = [str(message["content"]) for message in row["messages"] if message["role"] != "assistant"]
    assert not [text for text in said for words in other if words in text]


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in WITH_TWIN for kind in CONVERSATIONS if name not in REFUSED.get(kind, {})],
)
def test_what_is_learned_is_what_the_training_template_marks(tokenizer: Any, name: str, kind: str) -> None:
    tokenizer.chat_template = template(name)
    row = CONVERSATIONS[kind]
    # Templates of models that see take content in parts, and DeepSeek-V3's the arguments of a call as an object.
    said = row["messages"]
    if name in ("idefics3", "llava_next", "smolvlm"):
        said = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in said]

    marked = tokenizer.apply_chat_template(
        said,
        tools=row.get("tools"),
        chat_template=template(f"{name}_training"),
        return_dict=True,
        return_assistant_tokens_mask=True,
    )

    encoded = encode(tokenizer, row)
    assert encoded.ids == marked["input_ids"]
    assert encoded.learned == [bool(mark) for mark in marked["assistant_masks"]]


@pytest.mark.parametrize(
    ("name", "several", "called"),
    [
        (
            "gemma4_v5",
            "<turn|>\n",
            ["<|tool_call>call:add{a:1,b:2}<tool_call|><|tool_response>", "It is three.<turn|>\n"],
        ),
        (
            "llama3_1",
            "<|eot_id|>",
            ['{"name": "add", "parameters": {"a": 1, "b": 2}}<|eot_id|>', "It is three.<|eot_id|>"],
        ),
        (
            "lfm2_2_5",
            "<|im_end|>\n",
            ["<|tool_call_start|>[add(a=1, b=2)]<|tool_call_end|><|im_end|>\n", "It is three.<|im_end|>\n"],
        ),
    ],
)
def test_templates_without_a_twin_give_answers_with_what_ends_them(
    tokenizer: Any, name: str, several: str, called: list[str]
) -> None:
    tokenizer.chat_template = template(name)

    assert learned(tokenizer, {"messages": SEVERAL}) == [f"{word}{several}" for word in ("Uno.", "Dos.", "Tres.")]
    assert learned(tokenizer, CONVERSATIONS["tools"]) == called


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("qwen3", ["Uno.<|im_end|>\n", "Dos.<|im_end|>\n", "<think>\n\n</think>\n\nTres.<|im_end|>\n"]),
        ("qwen3_5_think", ["Uno.<|im_end|>\n", "Dos.<|im_end|>\n", "\n</think>\n\nTres.<|im_end|>\n"]),
        ("nemotron_3_nano", ["Uno.<|im_end|>\n", "Dos.<|im_end|>\n", "Tres.<|im_end|>\n"]),
        ("smolvlm", [f" {word}<end_of_utterance>\n" for word in ("Uno.", "Dos.", "Tres.")]),
        ("glm4moe", ["\n<think></think>\nUno.", "\n<think></think>\nDos.", "\n<think></think>\nTres.<|end|>"]),
    ],
)
def test_a_template_that_trl_does_not_know_by_its_letter_still_gives_every_answer(
    tokenizer: Any, name: str, said: list[str]
) -> None:
    """As with a hub's next revision: earlier answers are written in another way than the last, and all are found."""
    tokenizer.chat_template = template(name) + "{# revised #}"

    assert learned(tokenizer, {"messages": SEVERAL}) == said


def test_an_answer_of_weight_0_is_not_learned(tokenizer: Any) -> None:
    said = [user("1+1="), assistant("WRONG", weight=0), user("Again."), assistant("2", weight=1)]
    for name, end in (("qwen3", "<|im_end|>\n"), ("phi3", "<|end|>\n<|end|>"), ("llama3_1", "<|eot_id|>")):
        tokenizer.chat_template = template(name)

        (only,) = learned(tokenizer, {"messages": said})

        assert only.endswith(f"2{end}")
        assert "WRONG" not in only


def test_of_a_completion_only_its_answers_are_learned(tokenizer: Any) -> None:
    tokenizer.chat_template = template("qwen2_5") + "{# revised #}"

    assert learned(tokenizer, {"prompt": SEVERAL[:3], "completion": SEVERAL[3:]}) == [
        "Dos.<|im_end|>\n",
        "Tres.<|im_end|>\n",
    ]


def test_words_beside_a_call_that_the_template_drops_are_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = template("llama3_1")
    row = {"messages": [user("1+2?"), assistant("Let me see.", tool_calls=[CALL]), RESULT, assistant("Three.")]}

    with pytest.raises(InvalidInput, match="leaves out the words of message 2"):
        encode(tokenizer, row)


def test_a_template_that_writes_another_message_inside_an_answer_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = template("gemma4")
    row = {"messages": [user("1+2?"), assistant("Let me see.", tool_calls=[CALL]), RESULT, assistant("Three.")]}

    with pytest.raises(InvalidInput, match="writes message 3 in the middle of message 2"):
        encode(tokenizer, row)


def test_a_model_is_asked_with_its_own_template_and_tools(tokenizer: Any) -> None:
    tokenizer.chat_template = template("qwen3")

    asked = tokenizer.decode(prompt_ids(tokenizer, {"messages": CALLED[:3], "tools": [TOOL]}))

    assert asked == tokenizer.apply_chat_template(CALLED[:3], tools=[TOOL], tokenize=False, add_generation_prompt=True)
    assert "Adds two numbers" in asked


def test_the_templates_of_trl_are_found() -> None:
    assert len(chat_templates._twins()) == len(WITH_TWIN) > 30
    assert WITHOUT_TWIN
