"""A row as the model will see it, and what of the rows it does not see."""

from pathlib import Path
from typing import Any

import pytest
import trl

from adapters.preflight import tokens
from domain.catalogue.method_spec import MethodType
from domain.errors import InvalidDataset
from domain.runs.run_plan import ShownRow
from tests.adapters.preflight.conftest import Changed, Look, sums

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
ASKED, SAID = {"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds", "parameters": {}}}


def marked(row: ShownRow) -> str:
    return "".join(f"[{piece.text}]" if piece.learned else piece.text for piece in row.pieces)


def template(name: str) -> dict[str, bytes | None]:
    return {"chat_template.jinja": (TEMPLATES / f"{name}.jinja").read_bytes()}


@pytest.mark.parametrize(
    ("row", "types", "seen"),
    [
        ({"messages": [ASKED, SAID]}, (MethodType.SFT,), {"row 1": "<|user|>1+1=<|end|><|assistant|>[2<|end|>]"}),
        ({"prompt": "1+1=", "completion": "2"}, (MethodType.SFT,), {"row 1": "1+1=[2<|end|>]"}),
        ({"text": "1+1=2"}, (MethodType.SFT,), {"row 1": "[1+1=2<|end|>]"}),
        (
            {"prompt": "1+1=", "chosen": "2", "rejected": "3"},
            (MethodType.DPO,),
            {"row 1, chosen": "1+1=[2<|end|>]", "row 1, rejected": "1+1=[3<|end|>]"},
        ),
        ({"prompt": [ASKED], "answer": "2"}, (MethodType.GRPO,), {"row 1": "<|user|>1+1=<|end|><|assistant|>"}),
        (
            {"messages": [ASKED, {**SAID, "content": "3", "weight": 0}, ASKED, SAID]},
            (MethodType.SFT,),
            {"row 1": "<|user|>1+1=<|end|><|assistant|>3<|end|><|user|>1+1=<|end|><|assistant|>[2<|end|>]"},
        ),
    ],
)
def test_a_plan_shows_the_first_row_with_what_is_learned(
    look: Look, row: dict[str, Any], types: tuple[MethodType, ...], seen: dict[str, str]
) -> None:
    other = (
        {**row, "prompt": [{**ASKED, "content": "2+2="}] if "answer" in row else "2+2="}
        if "prompt" in row
        else {"text": "2+2=4"}
        if "text" in row
        else sums(1)[0]
    )
    options = {"num_generations": 4, "max_completion_length": 8} if MethodType.GRPO in types else {}

    plan = look([row], [other], types=types, **options)

    assert {shown.name: marked(shown) for shown in plan.shown} == seen


def test_what_is_cut_off_is_not_shown(look: Look) -> None:
    plan = look([{"text": "1+1=2"}, {"text": "2"}], [{"text": "3"}], max_length=4)

    assert marked(plan.shown[0]) == "[1+1=]"


def test_of_a_methods_own_code_nobody_knows_what_it_learns(look: Look) -> None:
    plan = look([{"text": "a", "id": 1}], [{"text": "b"}], types=(MethodType.OTHER,))

    assert plan.shown == ()
    assert not [warning for warning in plan.warnings if "not see" in warning]


def test_columns_that_no_trainer_of_ours_reads_are_told(look: Look) -> None:
    told = look([row | {"id": n} for n, row in enumerate(sums(20))]).warnings

    assert told == ("The model does not see the rows' column 'id'.",)
    told = look([row | {"id": n, "source": "me"} for n, row in enumerate(sums(20))]).warnings
    assert told == ("The model does not see the rows' columns 'id', 'source'.",)


def test_what_a_chat_template_leaves_out_is_told_with_its_row(look: Look, base_model: Changed) -> None:
    thinking = {"messages": [ASKED, {**SAID, "reasoning_content": "One and one."}]}
    # Whatever a field holds may stand in the words too.
    noted = {"messages": [{**ASKED, "mood": "1", "prefix": True}, SAID]}
    with_tools = {"messages": [ASKED, SAID], "tools": [TOOL]}

    told = look([*sums(3), thinking, thinking, noted, with_tools]).warnings

    assert told == tuple(
        f"The base model's chat template leaves out {what}. The model does not see that."
        for what in (
            "what answers think before they speak: in 2 rows, the first of them 4",
            "the field 'mood' of messages: in row 6",
            "the field 'prefix' of messages: in row 6",
            "the tools: in row 7",
        )
    )
    qwen = base_model(files=template("qwen3"), max_position_embeddings=1024)
    assert look([*sums(3), thinking, with_tools], base=qwen).warnings == ()


def test_an_answer_that_a_chat_template_leaves_out_is_refused_with_its_row(look: Look, base_model: Changed) -> None:
    calling = {"messages": [ASKED, {**SAID, "content": "", "tool_calls": [CALL]}], "tools": [TOOL]}

    with pytest.raises(InvalidDataset, match=r"Training row 3 .* leaves out the call of the tool add of message 2"):
        look([*sums(2), calling], base=base_model(files=template("llama3")))
    assert look([*sums(2), calling], base=base_model(files=template("qwen3")))


def test_the_first_row_of_every_kind_is_examined(look: Look, base_model: Changed) -> None:
    calling = {"messages": [ASKED, {**SAID, "content": "", "tool_calls": [CALL]}], "tools": [TOOL]}
    rows = [*sums(3 * tokens.MOST_EXAMINED), calling]

    with pytest.raises(InvalidDataset, match=f"Training row {len(rows)} "):
        look(rows, [{"messages": [{"role": "user", "content": "?"}, SAID]}], base=base_model(files=template("llama3")))


def test_control_tokens_in_what_people_wrote_are_told_with_their_row(look: Look) -> None:
    talk = {"messages": [{**ASKED, "content": "<|end|>1+1="}, SAID]}
    text = {"text": "<|user|>1+1=<|end|><|assistant|>2"}

    assert (
        "Row 2 says <|end|>, which is read as text, not as this base model's own mark."
        in look([*sums(1), talk], sums(1, begin=5)).warnings
    )
    told = look([text, {"text": "2"}], [{"text": "3"}]).warnings
    assert "Row 1 says <|user|>, which is read as this base model's own mark." in told
