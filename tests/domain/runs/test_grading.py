"""What counts as an answer."""

import re
import time
from fractions import Fraction

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from domain.exact_numbers import number_in
from domain.runs.grading import expected_answer, is_right, marked_answer, reasons_before_it_answers


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>1+1=2</think><answer>2</answer>", "2"),
        ("<answer>1</answer> no, <answer> 2 </answer>", "2"),
        ("She has 3 + 4 = 7 eggs.\n#### 7", "7"),
        (r"so \boxed{7}", "7"),
        (r"so \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"first \boxed{1}, then \boxed{\sqrt{x^{2}}}.", r"\sqrt{x^{2}}"),
        (r"\boxed {\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\boxed{3}", "3"),
        ("it is 7", None),
    ],
)
def test_an_answer_counts_where_it_is_marked(text: str, answer: str | None) -> None:
    assert marked_answer(text) == answer


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("<answer>72</answer>", "72"),
        ("<answer>1,072.0</answer>", "1072"),
        ("#### $5", "5"),
        ("72", "72"),
        ("72.", "72"),
        ("1,234,567", "1234567"),
        (r"1{,}234\,567", "1234567"),
        ("\u22125", "-5"),
        ("-$5.50", "-5.5"),
        (r"\$5", "5"),
        ("1e3", "1000"),
        (r"1.2\times 10^3", "1200"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\frac{1}{2}}", "0.5"),
        (r"\boxed{\dfrac12}", "1/2"),
        (r"-\frac{3}{4}", "-0.75"),
        ("1 1/2", "1.5"),
        ("50%", r"50\%"),
        ("50%", "0.5"),
        ("NaN", "NaN"),
        ("<answer>Paris</answer>", "paris"),
        (r"\boxed{\text{Paris}}", "Paris"),
        (r"$(1, 2)$", "(1,2)"),
        (r"\boxed{\left( 1,2 \right)}", "(1, 2)"),
        (r"\sqrt{2}", r"\boxed{ \sqrt{2} }"),
        (r"\tfrac{a}{b}", r"\frac{a}{b}"),
    ],
)
def test_numbers_are_compared_as_numbers_and_words_without_their_case(said: str, expected: str) -> None:
    assert is_right(said, expected)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("12345678901234567891", "12345678901234567890"),
        ("0.1000000000000000000001", "0.1"),
        ("3,4", "34"),
        ("1,23", "123"),
        ("12,34,567", "1234567"),
        ("0.3333333333", "1/3"),
        ("3 4", "34"),
        (r"3\,4", "34"),
        ("5²", "52"),
        ("50%", "50"),
        ("1/0", "0"),
        ("1e999999999", "1"),
        ("7" * 5_000, "7"),
        ("NaN", "nil"),
        ("-5", "5"),
        ("1_000", "1000"),
    ],
)
def test_other_numbers_are_other_answers(said: str, expected: str) -> None:
    assert not is_right(f"<answer>{said}</answer>", expected)
    assert not is_right(f"<answer>{expected}</answer>", said)


@given(st.fractions(), st.fractions())
def test_two_fractions_are_the_same_answer_where_they_are_the_same_number(one: Fraction, other: Fraction) -> None:
    said = f"\\boxed{{\\frac{{{one.numerator}}}{{{one.denominator}}}}}"

    assert is_right(said, f"{one.numerator}/{one.denominator}")
    assert is_right(said, f"{other.numerator}/{other.denominator}") is (one == other)


@given(st.text(max_size=40))
def test_whatever_a_text_is_it_is_the_answer_that_it_is(text: str) -> None:
    assert is_right(f"<answer>{text}</answer>", text) or "answer>" in text
    number_in(text)


@pytest.mark.parametrize("said", ["it is 72", "<answer>7</answer>2", "", "<answer>72", "so 72"])
def test_an_answer_that_is_not_marked_is_not_right(said: str) -> None:
    assert not is_right(said, "72")


def test_a_row_expects_its_answer_or_what_its_demonstration_marks() -> None:
    shown = [{"role": "user", "content": "1+1="}, {"role": "assistant", "content": "<answer>2</answer>"}]

    assert expected_answer({"prompt": "1+1=", "answer": 2}) == "2"
    assert expected_answer({"messages": shown}) == "2"
    assert expected_answer({"prompt": "1+1=", "completion": "#### 2"}) == "2"
    assert expected_answer({"prompt": "1+1=", "answer": "One and one.\n#### 2"}) == "2"
    assert expected_answer({"prompt": "1/2=", "answer": r"\boxed{\frac{1}{2}}"}) == r"\frac{1}{2}"
    assert expected_answer({"prompt": "1+1=", "completion": "two"}) is None
    assert expected_answer({"prompt": "1+1=", "completion": "#### 3", "label": False}) is None
    assert expected_answer({"text": "<answer>2</answer>"}) is None


@pytest.mark.parametrize(
    ("said", "in_format"),
    [
        ("<think>a</think><answer>b</answer>", True),
        ("<think>a\nb</think>\n<answer>b</answer>\n", True),
        ("<answer>b</answer>", False),
        ("<think></think><answer>b</answer>", False),
        ("<think>a</think><answer>b</answer> and more", False),
        ("<think>a</think><answer>b</answer><answer>c</answer>", False),
    ],
)
def test_reasoning_comes_before_the_one_answer_and_nothing_else(said: str, in_format: bool) -> None:
    assert reasons_before_it_answers(said) is in_format


# The definitions, as patterns: what they say is what counts, however long that takes them.
IN_TAGS = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
AFTER_HASHES = re.compile(r"^####\s*(\S.*?)\s*$", re.MULTILINE)
BOXED = regex.compile(r"\\boxed\{((?:[^{}]|(?<braces>\{(?:[^{}]|(?&braces))*\}))*)\}")
IN_FORMAT = re.compile(r"\s*<think>.+?</think>\s*<answer>.+?</answer>\s*", re.DOTALL)
SAID = st.lists(
    st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "####", "\n", " ", "x", "7", "\\boxed{", "}"]),
    max_size=14,
).map("".join)


@given(SAID)
def test_what_is_marked_is_what_the_definitions_say(said: str) -> None:
    found = IN_TAGS.findall(said) or AFTER_HASHES.findall(said) or [box[1] for box in BOXED.finditer(said)]
    assert marked_answer(said) == (found[-1].strip() if found else None)
    assert reasons_before_it_answers(said) == (IN_FORMAT.fullmatch(said) is not None and said.count("<answer>") == 1)


@pytest.mark.parametrize(
    "repeated",
    [
        *("<answer>", "<think>", "</think>", "</answer>", "####", "####\n", "#### a ", " ", "\n", "\\boxed{"),
        *("<think>a</think><answer>b", "</think><answer>b</answer>", "</answer><answer>"),
    ],
)
@pytest.mark.parametrize("begin", ["", "<think>a", "<answer>", "#### "])
def test_a_model_that_repeats_itself_is_judged_as_fast(begin: str, repeated: str) -> None:
    def took(times: int) -> float:
        said = begin + repeated * times + "x"
        fastest = float("inf")
        for _ in range(3):
            began = time.process_time()
            marked_answer(said)
            reasons_before_it_answers(said)
            fastest = min(fastest, time.process_time() - began)
        return fastest

    # Eight times the text; ways of dividing it would take 64 times as long, or more.
    assert took(16_000) < 30 * max(took(2_000), 1e-4)
