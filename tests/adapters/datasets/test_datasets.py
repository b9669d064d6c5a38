"""Datasets are found, read in every usual shape, parted, and refused where they are wrong."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from adapters.datasets import Datasets
from adapters.datasets.files.hub import is_hub_id
from adapters.datasets.files.reading import RawRow
from adapters.datasets.rows import Located, normalised
from adapters.datasets.splitting import hold_out
from domain.errors import InvalidDataset
from domain.ports import Dataset
from domain.runs.grading import question_of
from infra import samples

SAMPLES = Path(samples.__file__).parent
ASKED, SAID = {"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}


@pytest.fixture
def datasets() -> Datasets:
    return Datasets(SAMPLES)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.jsonl"


def written(file: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def loaded(file: Path, rows: Sequence[Mapping[str, Any]]) -> Dataset:
    return Datasets(SAMPLES).load(written(file, rows), seed=0)


def test_samples_are_opened_by_name_with_the_rows_that_they_hold_out(datasets: Datasets) -> None:
    assert datasets.names() == ["grpo-demo", "mlx-demo", "sft-demo"]
    assert datasets.located("sft-demo") == "sft-demo"

    sample = datasets.load("sft-demo", seed=0)

    assert (len(sample.rows), len(sample.held_out)) == (1600, 200)
    assert sample.rows[0].keys() == {"messages"}


def test_what_the_operator_puts_into_the_folder_is_opened_by_its_name_too(tmp_path: Path) -> None:
    for place in ("tickets.jsonl", "support/train.jsonl", "sft-demo/train.jsonl", "notes.md", ".hidden.jsonl"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        written(tmp_path / place, [{"text": "alpha"}, {"text": "beta"}])
    datasets = Datasets(SAMPLES, tmp_path)

    assert datasets.names() == ["grpo-demo", "mlx-demo", "sft-demo", "support", "tickets.jsonl"]
    for name in ("support", "tickets.jsonl"):
        assert datasets.located(name) == name
        opened = datasets.load(name, seed=0)
        assert (opened.name, len(opened.rows) + len(opened.held_out)) == (name, 2)
    assert len(datasets.load("sft-demo", seed=0).rows) == 1600


@pytest.mark.parametrize(
    ("raw", "row"),
    [
        ({"messages": [ASKED, SAID]}, {"messages": [ASKED, SAID]}),
        (
            {"conversations": [{"from": "human", "value": "1+1="}, {"from": "gpt", "value": "2"}]},
            {"messages": [ASKED, SAID]},
        ),
        ({"prompt": "1+1=", "completion": "2"}, {"prompt": "1+1=", "completion": "2"}),
        ({"prompt": [ASKED], "completion": [SAID]}, {"prompt": [ASKED], "completion": [SAID]}),
        ({"prompt": [ASKED], "completion": "2"}, {"prompt": [ASKED], "completion": [SAID]}),
        ({"text": "1+1=2"}, {"text": "1+1=2"}),
        ({"instruction": "1+1=", "output": "2"}, {"messages": [ASKED, SAID]}),
        (
            {"instruction": "Add", "input": "1+1=", "output": "2", "text": "all of it"},
            {"messages": [{"role": "user", "content": "Add\n\n1+1="}, SAID]},
        ),
        ({"instruction": "1+1=", "input": "", "output": "2"}, {"messages": [ASKED, SAID]}),
        (
            {"question": "1+1=", "answer": "1 and 1 is 2\n#### 2"},
            {"prompt": [ASKED], "completion": [{**SAID, "content": "1 and 1 is 2\n#### 2"}], "answer": "2"},
        ),
        ({"question": "1+1=", "answer": 2}, {"prompt": [ASKED], "answer": "2"}),
        ({"prompt": [ASKED], "answer": "2", "level": 1}, {"prompt": [ASKED], "answer": "2", "level": 1}),
        (
            {"prompt": "1+1=", "chosen": "2", "rejected": "3"},
            {"prompt": "1+1=", "chosen": "2", "rejected": "3"},
        ),
        (
            {"chosen": [ASKED, SAID], "rejected": [ASKED, {**SAID, "content": "3"}]},
            {"prompt": [ASKED], "chosen": [SAID], "rejected": [{**SAID, "content": "3"}]},
        ),
        (
            {"prompt": "1+1=", "completion": "3", "label": False},
            {"prompt": "1+1=", "completion": "3", "label": False},
        ),
    ],
)
def test_every_usual_shape_becomes_one_that_trainers_take(raw: dict[str, Any], row: dict[str, Any]) -> None:
    assert normalised([RawRow("here", raw)])[0].fields == row


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{"a": 1}], r"mine.jsonl, row 1: the columns \(a\) are none of the usual shapes"),
        ([{}], r"row 1: the columns \(none\)"),
        ([{"text": "a"}, {"txet": "b"}], "row 2: the column 'text' is missing"),
        ([{"text": 3}], "row 1, column 'text': must be text, not the number 3"),
        ([{"text": "a"}, {"text": " "}], "row 2, column 'text': is empty"),
        ([{"text": None}], "column 'text': must be text, not null"),
        ([{"messages": "hello"}], "column 'messages': must be a list of messages, not text"),
        ([{"messages": []}], "has no message"),
        ([{"messages": ["hello"]}], "message 1 must be an object with role and content, not text"),
        ([{"messages": [{"role": "user"}]}], "message 1 has no 'content'"),
        ([{"messages": [{"role": "user", "content": 3}]}], "message 1: content must be text"),
        ([{"messages": [{"role": "robot", "content": "a"}, SAID]}], "message 1 has the unknown role 'robot'"),
        ([{"messages": [{"role": ["user"], "content": "a"}]}], "role must be text, not a list"),
        ([{"messages": [ASKED]}], "must end with the assistant's words"),
        ([{"messages": [ASKED, {"role": "assistant", "content": ""}]}], "message 2: the assistant says nothing"),
        ([{"prompt": 3, "completion": "a"}], "column 'prompt': must be text or a list of messages, not the number 3"),
        ([{"prompt": [ASKED, SAID], "completion": "a"}], "must not end with the assistant's words"),
        ([{"prompt": "a", "completion": [ASKED]}], "must end with the assistant's words, not with the role 'user'"),
        ([{"prompt": "a", "answer": True}], "column 'answer': must be text or a number, not true or false"),
        ([{"prompt": "a", "answer": ""}], "column 'answer': is empty"),
        ([{"question": "a", "answer": "so\n####"}], "column 'answer'"),
        ([{"prompt": "a", "chosen": "b", "rejected": "b"}], "is the same as 'chosen'"),
        ([{"chosen": "b", "rejected": "c"}], "texts without a 'prompt'"),
        ([{"chosen": [ASKED, SAID], "rejected": [ASKED, SAID]}], "begin with the same prompt and then differ"),
        ([{"prompt": "a", "completion": "b", "label": "yes"}], "column 'label': must be true"),
        ([{"prompt": "a", "completion": "b", "label": 2}], "column 'label': must be true"),
        ([{"text": "a"}, {"text": "a"}], "one question only"),
    ],
)
def test_wrong_rows_are_refused_with_file_row_and_column(
    file: Path, rows: Sequence[Mapping[str, Any]], complaint: str
) -> None:
    with pytest.raises(InvalidDataset, match=complaint):
        loaded(file, rows)


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b'{"text": "a"}\n{"text": }\n', r"row 2: this is not JSON \(Expecting value at character 10\)"),
        (b"hello\n", "row 1: this is not JSON"),
        (b'["text"]\n', "row 1: a row is a JSON object with columns, not a list"),
        (b'{"text": "a", "text": "b"}\n', "row 1: column 'text' stands there twice"),
        (b'{"text": "a", "weight": NaN}\n', "NaN is no JSON number"),
        (b'{"text": "a"}\n{"text": "\xff"}\n', "row 2: this is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_files_that_are_no_jsonl_are_refused_with_their_row(file: Path, contents: bytes, complaint: str) -> None:
    file.write_bytes(contents)

    with pytest.raises(InvalidDataset, match=complaint):
        Datasets(SAMPLES).load(str(file), seed=0)


def test_blank_lines_and_a_byte_order_mark_do_no_harm(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b"}')

    dataset = Datasets(SAMPLES).load(str(file), seed=0)

    assert len(dataset.rows) + len(dataset.held_out) == 2


ROWS = [{"prompt": f"{n}+1=", "completion": f"line one\nthen, {n + 1}", "label": n % 2 == 0} for n in range(6)]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"mine{suffix}"
    match suffix:
        case ".jsonl":
            written(file, ROWS)
        case ".json":
            file.write_text(json.dumps({"version": 1, "data": ROWS}))
        case ".csv":
            lines = [f'{row["prompt"]},"{row["completion"]}",{row["label"]}' for row in ROWS]
            file.write_text("\n".join(["prompt,completion,label", *lines]))
        case ".parquet":
            parquet.write_table(pa.Table.from_pylist(ROWS), file)

    dataset = Datasets(SAMPLES).load(str(file), seed=3)

    assert sorted([*dataset.rows, *dataset.held_out], key=lambda row: str(row["prompt"])) == ROWS


def test_conversations_are_read_from_a_csv_cell(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    cell = json.dumps([ASKED, SAID]).replace('"', '""')
    other = cell.replace("1+1", "2+2")
    file.write_text(f'messages\n"{cell}"\n"{other}"\n')

    dataset = Datasets(SAMPLES).load(str(file), seed=0)

    assert {len(row["messages"]) for row in [*dataset.rows, *dataset.held_out]} == {2}


@pytest.mark.parametrize(
    ("name", "contents", "complaint"),
    [
        ("mine.csv", "text,text\na,b\n", "column 'text' stands in the header twice"),
        ("mine.csv", "prompt,completion\na,b,c\n", "row 1 has 3 cells, and the header has 2"),
        ("mine.csv", 'text\n"a', "this is not CSV"),
        ("mine.csv", "", "is empty"),
        ("mine.json", '{"text": "a"}', "must hold a list of rows"),
        ("mine.json", "[1]", "row 1: a row is a JSON object"),
        ("mine.json", "[", "this is not JSON"),
        ("mine.parquet", "PAR1", "cannot be read as Parquet"),
        ("mine.txt", "a", r"give \.jsonl, \.json, \.csv, \.parquet or a folder"),
    ],
)
def test_other_formats_are_refused_with_what_is_wrong(tmp_path: Path, name: str, contents: str, complaint: str) -> None:
    (tmp_path / name).write_text(contents)

    with pytest.raises(InvalidDataset, match=complaint):
        Datasets(SAMPLES).load(str(tmp_path / name), seed=0)


def test_a_folder_brings_its_own_held_out_rows(tmp_path: Path) -> None:
    written(tmp_path / "train.jsonl", [{"text": "a"}])
    written(tmp_path / "held_out.jsonl", [{"text": "b"}])

    dataset = Datasets(SAMPLES).load(str(tmp_path), seed=0)

    assert (dataset.rows, dataset.held_out) == ([{"text": "a"}], [{"text": "b"}])


def test_a_folder_with_two_files_for_one_part_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "train.jsonl", [{"text": "a"}])
    (tmp_path / "train.csv").write_text("text\na\n")

    with pytest.raises(InvalidDataset, match=r"has train\.jsonl and train\.csv"):
        Datasets(SAMPLES).located(str(tmp_path))


def test_a_folder_without_rows_and_an_unknown_name_are_refused(datasets: Datasets, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"it has no train\.jsonl"):
        datasets.located(str(tmp_path))
    with pytest.raises(InvalidDataset, match="'answers': it is none of grpo-demo"):
        datasets.located("answers")


def test_a_local_file_is_located_by_its_absolute_path(
    datasets: Datasets, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(file, [{"text": "a"}])
    monkeypatch.chdir(file.parent)

    assert datasets.located("mine.jsonl") == str(file)


def test_a_hub_id_that_cannot_be_had_is_refused(datasets: Datasets) -> None:
    assert is_hub_id("openai/gsm8k:main")
    assert not is_hub_id("gsm8k")
    with pytest.raises(InvalidDataset, match="the hub does not give it"):
        datasets.load("nobody/nothing-here", seed=0)


def test_hashes_follow_the_rows_and_the_seed_parts_them(file: Path) -> None:
    rows = [{"text": str(n)} for n in range(40)]
    written(file, rows)

    one, same, other = (Datasets(SAMPLES).load(str(file), seed=seed) for seed in (1, 1, 2))

    assert one == same
    assert len(one.held_out) == 4
    assert one.held_out_hash != other.held_out_hash
    assert one.rows_hash != other.rows_hash


def test_questions_that_differ_in_white_space_only_stay_on_one_side() -> None:
    rows = [Located(f"f, row {i}", {"prompt": f"1 +{' ' * (i % 7 + 1)}{i % 20}\n"}) for i in range(140)]

    train, held_out = hold_out(rows, seed=0)

    assert len(held_out) == 14  # two questions of seven spellings each
    assert not {" ".join(row.fields["prompt"].split()) for row in train} & {
        " ".join(row.fields["prompt"].split()) for row in held_out
    }


@given(st.lists(st.integers(0, 30), min_size=2, max_size=60), st.integers(0, 5))
def test_no_question_is_both_trained_on_and_measured_with(questions: list[int], seed: int) -> None:
    rows = [Located(f"f, row {i}", {"prompt": str(q), "completion": str(i)}) for i, q in enumerate(questions)]
    if len(set(questions)) < 2:
        with pytest.raises(InvalidDataset):
            hold_out(rows, seed=seed)
        return

    train, held_out = hold_out(rows, seed=seed)

    assert train
    assert held_out
    assert len(train) + len(held_out) == len(rows)
    assert not {question_of(row.fields) for row in train} & {question_of(row.fields) for row in held_out}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda parts: (
        st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from(["role", "content"]), parts, max_size=2)
    ),
    max_leaves=6,
)
_COLUMNS = st.sampled_from(
    [
        "messages",
        "prompt",
        "completion",
        "text",
        "answer",
        "question",
        "chosen",
        "rejected",
        "label",
        "instruction",
        "output",
    ]
)


@given(st.lists(st.dictionaries(_COLUMNS, _JSON, max_size=4), min_size=1, max_size=3))
def test_no_rows_are_met_with_anything_but_rows_or_a_refusal(rows: list[dict[str, Any]]) -> None:
    try:
        made = normalised([RawRow(f"f, row {n}", row) for n, row in enumerate(rows, start=1)])
    except InvalidDataset as refusal:
        assert "f, row" in str(refusal)  # noqa: PT017 -- most examples are refused, and that must say where
    else:
        assert len(made) == len(rows)


def test_a_folder_may_call_its_rows_to_measure_with_as_other_tools_do(tmp_path: Path, datasets: Datasets) -> None:
    for part, rows in (("train", ["a", "b"]), ("valid", ["c"])):
        written(tmp_path / f"{part}.jsonl", [{"text": text} for text in rows])

    with_valid = datasets.load(str(tmp_path), seed=0)

    assert [row["text"] for row in with_valid.rows] == ["a", "b"]
    assert [row["text"] for row in with_valid.held_out] == ["c"]
    assert with_valid.remarks == ()

    written(tmp_path / "test.jsonl", [{"text": "d"}])
    with_both = datasets.load(str(tmp_path), seed=0)

    assert [row["text"] for row in with_both.held_out] == ["d"]
    assert with_both.remarks == ("The file valid.jsonl is not used: the rows to measure with are those of test.jsonl.",)


def test_columns_that_no_row_holds_are_told(file: Path) -> None:
    rows = [{"messages": [ASKED, SAID], "prompt": "1+1=", "id": 1}, {"messages": [{**ASKED, "content": "?"}, SAID]}]

    dataset = loaded(file, rows)

    assert dataset.remarks == ("The rows' column 'prompt' is not used.",)
    assert {"id": 1, "messages": [ASKED, SAID]} in [*dataset.rows, *dataset.held_out]
