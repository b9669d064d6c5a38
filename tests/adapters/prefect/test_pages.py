"""People's texts make nothing of Prefect's pages: no image, form field, link or heading but ours."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from adapters.prefect import forms, pages
from domain.audit.read_models import AuditEntry, Run, SelectableMethod
from domain.catalogue.method_spec import Backend, MethodSpec
from domain.catalogue.options import ConfigurationOption, OptionType
from domain.catalogue.preinstalled import SFT_DEMO
from domain.runs.training_run import RunStatus
from tests.adapters.shared.showing.test_markdown import TEXTS, kinds
from tests.support.people import request

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OURS = "http://127.0.0.1:4200/"
HTML = {"html_inline", "html_block"}


def method(text: str) -> SelectableMethod:
    """A method in which whatever may be text is this one, whatever is checked on the way in today."""
    option = ConfigurationOption.model_construct(
        name="a_name", type=OptionType.CHOICE, default=text, choices=(text, "other"), description=text
    )
    said = dict.fromkeys(("display_name", "description", "trainer", "default_base_model", "default_dataset"), text)
    spec = MethodSpec.model_construct(**{**dict(SFT_DEMO), **said, "configuration_options": (option,)})
    return SelectableMethod.model_construct(method_id=uuid4(), spec=spec, version=1, preinstalled=True)


def entry(text: str) -> AuditEntry:
    fields: dict[str, Any] = dict.fromkeys(AuditEntry.model_fields, text)
    return AuditEntry.model_construct(
        **fields | {"position": 7, "occurred_at": NOW, "recorded_at": NOW, "outcome": "done"}
    )


def run(text: str, **fields: Any) -> Run:
    return Run.model_construct(
        **{name: field.default for name, field in Run.model_fields.items()}
        | {"run_id": uuid4(), "status": RunStatus.FAILED, "request": request(), "requested_at": NOW}
        | {"requested_by": text, "reason": text}
        | fields
    )


def every(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from every(token.children or [])


def must_hold_only_ours(page: str, *, headings: int, tables: int, links: int = 0, pictures: int = 0) -> None:
    for dialect in ("js-default", "gfm-like"):
        reader = MarkdownIt(dialect, {"html": True, "linkify": False})
        reader.validateLink = lambda _: True  # type: ignore[method-assign]  # pictures within the page, links that run
        tokens = list(every(reader.parse(page)))
        found = [token.type for token in tokens]
        assert not HTML & set(found)
        assert [found.count(kind) for kind in ("heading_open", "table_open", "link_open", "image")] == [
            *(headings, tables, links, pictures)
        ]
        assert not {"s_open", "hr", "blockquote_open", "ordered_list_open", "code_block"} & set(found)
        assert all(str(token.attrs["href"]).startswith(OURS) for token in tokens if token.type == "link_open")
        assert all(str(token.attrs["src"]).startswith("data:") for token in tokens if token.type == "image")


# A method has a text wherever one is asked for.
WRITTEN = TEXTS.filter(str.strip)


@given(WRITTEN)
def test_the_description_of_a_deployment(text: str) -> None:
    must_hold_only_ours(forms.description(method(text), Backend.CUDA), headings=1, tables=1)


@given(WRITTEN)
def test_the_lines_to_copy_run_nothing_but_what_they_say(text: str) -> None:
    tokens = MarkdownIt("js-default").parse(forms.description(method(text), Backend.CUDA))
    shell, python = (token.content for token in tokens if token.type == "fence")
    assert shell.startswith("tmm train sft-demo --backend cuda --base-model ")
    compile(python, "python", "exec")


@given(WRITTEN)
def test_the_descriptions_of_a_forms_fields(text: str) -> None:
    form = forms.run_form(method(text), Backend.CUDA, datasets=[text], base_models=[text])
    (shown,) = (field["description"] for field in form["properties"]["options"]["properties"].values())
    must_hold_only_ours(shown, headings=0, tables=0)


@given(WRITTEN)
def test_the_catalogue(text: str) -> None:
    one = method(text)
    page = pages.catalogue_page([one, one], {("sft-demo", Backend.CUDA): f"{OURS}deployments"})
    must_hold_only_ours(page, headings=1, tables=1, links=2)


@given(WRITTEN, st.lists(WRITTEN, max_size=2))
def test_a_methods_page(text: str, others: list[str]) -> None:
    runs = [run(other) for other in others] + [run(text, after={text: 0.5})]
    page = pages.method_page(method(text), [entry(text)], runs, {runs[0].run_id: f"{OURS}runs"})
    must_hold_only_ours(page, headings=3, tables=2, links=1)


@given(TEXTS)
def test_a_runs_page(text: str) -> None:
    must_hold_only_ours(pages.run_page(text or "x", text, f"<svg>{text}</svg>"), headings=1, tables=0, pictures=1)


@given(TEXTS)
def test_a_report_of_the_audit_log(text: str) -> None:
    page = pages.report_page([entry(text)], 7, {text: 1}, 3)
    must_hold_only_ours(page, headings=1, tables=2)
    assert "inline" in set(kinds(MarkdownIt("js-default").parse(page)))
