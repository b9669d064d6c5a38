"""The domain's words on pages: ways out are links, faults stand at their fields."""

import pytest

from adapters.web.faults import Faults
from adapters.web.rendering import told
from domain.errors import (
    InvalidConfigurationOptions,
    InvalidMethod,
    MethodAlreadyExists,
    MethodNotFound,
    RunNotFound,
)


@pytest.mark.parametrize(
    ("error", "link"),
    [
        (MethodNotFound("nope"), '<a href="/">the list of methods</a>'),
        (RunNotFound("1a2b"), '<a href="/runs">the runs</a>'),
        (MethodAlreadyExists("sft-demo"), '<a href="/methods/sft-demo/modify">modify sft-demo</a>'),
        ("You can modify and use custom01 and custom02 instead", '<a href="/methods/custom01">custom01</a>'),
        ("Repeat it with: tmm rerun 8265c1eb-c133-5642-8dbd-3a722d494f44", 'href="/runs/8265c1eb-'),
    ],
)
def test_what_the_command_line_would_name_is_a_link(error: object, link: str) -> None:
    assert link in told(error)


def test_what_people_wrote_in_a_sentence_stays_text() -> None:
    assert told("There is no <b>method</b>: tmm list") == (
        'There is no &lt;b&gt;method&lt;/b&gt;: <a href="/">the list of methods</a>'
    )
    assert "\x1b" not in told("a \x1b[31m sentence")
    assert "hunter2" not in told("at postgresql://me:hunter2@host/db")


def test_each_fault_stands_at_the_field_that_it_names() -> None:
    error = InvalidMethod("internal_name: is missing; configuration_options.1.minimum: must be a number, not 'x'.")
    faults = Faults(error, fields=("internal_name",)).named(["max_steps", "learning_rate"])
    assert faults.at("internal_name") == "is missing"
    assert faults.at("option.learning_rate") == "minimum: must be a number, not 'x'"
    assert faults.summary == []


def test_a_fault_of_no_field_is_told_above() -> None:
    faults = Faults(InvalidMethod("It has 50,000 bytes in all."), fields=("internal_name",))
    assert faults.summary == ["It has 50,000 bytes in all"]


def test_an_options_faults_stand_at_the_option() -> None:
    error = InvalidConfigurationOptions(["option 'max_steps' must be at least 1, not 0", "something else"])
    faults = Faults(error)
    assert faults.at("option.max_steps") == "option 'max_steps' must be at least 1, not 0"
    assert faults.summary == ["something else"]
