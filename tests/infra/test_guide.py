"""The guide says what the code says."""

import re
from pathlib import Path

import pytest

from infra.guide import generate
from infra.settings import CHECKOUT

PAGES = sorted((CHECKOUT / "infra" / "guide").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_written_from_the_code_is_what_the_code_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert generate.with_parts(text) == text, "run: python -m infra.guide.generate"


def test_each_part_stands_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for part in generate.PARTS:
        assert f"<!-- generated: {part} -->" in text


def test_every_trainer_says_its_loss_and_where_it_comes_from() -> None:
    for section in generate.trainers_told().split("### ")[1:]:
        name = section.split("\n")[0]
        assert "Loss" in section, name
        assert "Rows with" in section, name


def test_every_kind_of_event_says_what_happened() -> None:
    for line in generate.events_told().splitlines()[2:]:
        assert re.fullmatch(r"\| `[a-z.-]+` \| `\w+` \| \S.* \| .* \|", line), line


@pytest.mark.parametrize("page", [CHECKOUT / "README.md", *PAGES], ids=lambda page: page.name)
def test_a_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
