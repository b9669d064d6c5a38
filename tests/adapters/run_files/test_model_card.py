"""A model card holds pictures, links and headings of ours alone, whatever people and models wrote."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import yaml
from hypothesis import given
from markdown_it import MarkdownIt

from adapters.run_files.model_card import card_of_merged, model_card
from adapters.run_files.story import RunStory
from domain.ports import Answer
from tests.adapters.prefect.test_pages import WRITTEN, entry, every, method, run
from tests.support.people import PROVENANCE

HEADINGS = ["What changed", "Sample answers", "How it is used", "How it was made"]


def story(text: str) -> RunStory:
    answers = [Answer(prompt=text, expected=text, said=text, right=None)]
    measured: Any = SimpleNamespace(metrics={text: 0.5}, answers=answers)
    rows: Any = SimpleNamespace(rows=[], held_out=[])
    made_of = PROVENANCE.model_copy(update={"device": text, "packages": {text: text}})
    asked = run(text).request.model_copy(
        update={"base_model": text, "dataset": text, "output_name": text, "columns": text}
    )
    result: Any = SimpleNamespace(is_adapter=True, steps=3)
    return RunStory(
        run=run(text, request=asked, provenance=made_of, options={text: text}),
        method=method(text).spec,
        requested=entry(text),
        dataset=rows,
        result=result,
        before=measured,
        after=measured,
        steps=[],
    )


def must_hold_only_ours(card: str, headings: list[str]) -> None:
    _, front, body = card.split("---\n", 2)
    assert set(yaml.safe_load(front)) <= {"base_model", "library_name", "pipeline_tag", "tags"}
    tokens = list(every(MarkdownIt("gfm-like", {"linkify": False}).parse(body)))
    assert not {"html_inline", "html_block", "link_open", "s_open", "hr"} & {token.type for token in tokens}
    assert [token.attrs["src"] for token in tokens if token.type == "image"] == ["curve.svg"]
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    assert titles[1:] == headings


@given(WRITTEN)
def test_the_card_of_a_run(text: str) -> None:
    must_hold_only_ours(model_card(story(text)), HEADINGS)


@given(WRITTEN)
def test_the_card_of_a_merged_model(text: str) -> None:
    record: dict[str, Any] = {
        "base_model": {"name": text},
        "method": {"display_name": text},
        "name": text,
        "run_id": str(uuid4()),
        "before": {text: 0.5},
        "after": {text: 0.5},
    }
    must_hold_only_ours(card_of_merged(record), [])
