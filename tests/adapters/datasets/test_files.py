"""Files as people have them: other encodings, compressed, with other commas, in folders of several files."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets as library
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from adapters.datasets import Datasets
from adapters.datasets.files.json_files import rows_in_document
from adapters.datasets.files.reading import read_file
from domain.errors import InvalidDataset
from domain.ports import Dataset
from infra import samples

SAMPLES = Path(samples.__file__).parent
ROWS = [{"prompt": f"Où est {n} ?", "completion": f"À côté de {n + 1}, là"} for n in range(4)]


def loaded(path: Path) -> Dataset:
    return Datasets(SAMPLES).load(str(path), seed=0)


def all_rows(dataset: Dataset) -> list[Any]:
    return sorted([*dataset.rows, *dataset.held_out], key=str)


def as_jsonl(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_csv(rows: Sequence[Mapping[str, Any]], **how: Any) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), **how)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", ()),
        ("utf-8-sig", ()),
        ("utf-16", ("mine.{} is written in UTF-16, and is read so.",)),
        ("utf-16-le", ("mine.{} is written in UTF-16, and is read so.",)),
        ("utf-16-be", ("mine.{} is written in UTF-16, and is read so.",)),
        ("utf-32", ("mine.{} is written in UTF-32, and is read so.",)),
        ("latin-1", ("mine.{} is written in Latin-1 (Windows-1252), and is read so.",)),
    ],
)
def test_encodings_are_recognised_and_named(tmp_path: Path, suffix: str, encoding: str, told: tuple[str, ...]) -> None:
    file = tmp_path / f"mine.{suffix}"
    file.write_bytes((as_jsonl(ROWS) if suffix == "jsonl" else as_csv(ROWS)).encode(encoding))

    dataset = loaded(file)

    assert all_rows(dataset) == ROWS
    assert dataset.remarks == tuple(remark.format(suffix) for remark in told)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("Это не латиница", "cp1251"), ("これは日本語です", "shift-jis"), ("这是中文", "gbk")],
)
def test_what_is_neither_is_refused_with_its_row_and_not_read_as_latin_1(
    tmp_path: Path, text: str, encoding: str
) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(f"text\nfirst\n{text}\n".encode(encoding))

    with pytest.raises(InvalidDataset, match=r"mine\.csv, row 3: this is not UTF-8 text, .* Save the file as UTF-8"):
        loaded(file)


def test_utf_8_with_a_damaged_letter_is_refused_and_not_read_as_latin_1(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_bytes('{"text": "là"}\n{"text": "où"}\n'.encode()[:-4] + b'a"}\n')

    with pytest.raises(InvalidDataset, match=r"mine\.jsonl, row 2: this is not UTF-8"):
        loaded(file)


def test_a_letter_across_two_pieces_of_a_file_is_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    long = "a" * ((1 << 20) - len('{"text": "') - 1)
    file.write_text(as_jsonl([{"text": long + "é"}, {"text": "b"}]), encoding="utf-8")

    assert all_rows(loaded(file))[0]["text"].endswith("é")


@pytest.mark.parametrize("surrogate", ["\\ud800", "\\uDC00", "\\udc00\\ud800"])
@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_half_a_character_is_refused_with_its_row(tmp_path: Path, surrogate: str, suffix: str) -> None:
    file = tmp_path / f"mine.{suffix}"
    rows = f'{{"text": "a"}}\n{{"text": "{surrogate}"}}\n'
    file.write_text(rows if suffix == "jsonl" else f"[{rows.strip()}]".replace("\n", ","))

    with pytest.raises(InvalidDataset, match=r"row 2, column 'text': \\ud[8c]00 is half a character"):
        loaded(file)


def test_half_a_character_is_refused_in_a_cell_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    said = [[{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "\ud800"}] for n in range(2)]
    file.write_text(as_csv([{"messages": json.dumps(messages)} for messages in said]))

    with pytest.raises(InvalidDataset, match=r"mine\.csv, row 1: the row holds half a character"):
        loaded(file)


def test_both_halves_of_a_character_are_one(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"text": "\\ud83d\\ude00"}\n{"text": "b"}\n')

    assert {"text": "😀"} in all_rows(loaded(tmp_path / "mine.jsonl"))


@pytest.mark.parametrize(
    "separator", ["\u2028", "\u2029", "\u0085", "\v", "\f", "\x1c", "\x1d", "\x1e"], ids=lambda one: f"U+{ord(one):04X}"
)
def test_only_ends_of_lines_end_rows(tmp_path: Path, separator: str) -> None:
    rows = [{"text": f"{n} one{separator}two"} for n in range(4)]
    (tmp_path / "mine.csv").write_text("text\n" + "".join(row["text"] + "\n" for row in rows))
    (tmp_path / "mine.jsonl").write_text(as_jsonl(rows))

    assert all_rows(loaded(tmp_path / "mine.csv")) == all_rows(loaded(tmp_path / "mine.jsonl")) == rows


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_rows_of_a_table_end_as_each_system_ends_them(tmp_path: Path, end: str) -> None:
    (tmp_path / "mine.csv").write_bytes(f'text{end}"a{end}b"{end}{end}c{end}'.encode())

    assert all_rows(loaded(tmp_path / "mine.csv")) == [{"text": f"a{end}b"}, {"text": "c"}]


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(f"text\n{'a' * 200_000}\nb\n")

    assert [len(row["text"]) for row in all_rows(loaded(tmp_path / "mine.csv"))] == [200_000, 1]


@pytest.mark.parametrize(("name", "comma"), [("mine.csv", ";"), ("mine.csv", "\t"), ("mine.tsv", "\t")])
def test_tables_of_other_countries_spreadsheets_are_read(tmp_path: Path, name: str, comma: str) -> None:
    (tmp_path / name).write_text(as_csv(ROWS, delimiter=comma), encoding="utf-8")

    assert all_rows(loaded(tmp_path / name)) == ROWS


@pytest.mark.parametrize(
    ("packed", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)],
    ids=("gz", "bz2", "xz"),
)
@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        ("jsonl", as_jsonl),
        ("ndjson", as_jsonl),
        ("json", json.dumps),
        ("csv", as_csv),
        ("tsv", lambda rows: as_csv(rows, delimiter="\t")),
    ],
    ids=("jsonl", "ndjson", "json", "csv", "tsv"),
)
def test_compressed_files_are_read_as_what_is_in_them(
    tmp_path: Path, packed: str, pack: Callable[[bytes], bytes], suffix: str, write: Callable[[Any], str]
) -> None:
    file = tmp_path / f"mine.{suffix}{packed}"
    file.write_bytes(pack(write(ROWS).encode()))

    assert all_rows(loaded(file)) == ROWS
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InvalidDataset, match="cannot be unpacked"):
        loaded(file)


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("mine.xlsx", "as CSV UTF-8"),
        ("mine.zip", "Unpack it"),
        ("mine.jsonl.zst", "zstd -d"),
        ("mine.txt", "a line of JSON"),
        ("mine.parquet.gz", "read as .tsv too"),
    ],
)
def test_other_formats_are_refused_with_what_to_do(tmp_path: Path, name: str, way_out: str) -> None:
    (tmp_path / name).write_bytes(b"a")

    with pytest.raises(InvalidDataset, match=way_out):
        loaded(tmp_path / name)


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        ('{"prompt": {"0": "a"}, "completion": {"0": "b"}}', r'to_json\(file, orient="records", lines=True\)'),
        ('{"prompt": ["a"], "completion": ["b"]}', r'to_json\(file, orient="records", lines=True\)'),
        ('{"train": [{"text": "a"}], "test": [{"text": "b"}]}', r"train\.jsonl and test\.jsonl in one folder"),
        ("3", "must hold a list of rows"),
        ('[{"text": "a"}] {"text": "b"}', "Extra data at character 17"),
        ('[{"text": "a"} {"text": "b"}]', "Expecting ',' at character 16"),
        ('[{"text": "a"}, {"text": }]', "Expecting value at character 26"),
        ('[{"text": "a"}, {"text": "a', "Unterminated string starting at at character 26"),
        ('{"data": [{"text": "a"}', "not JSON"),
        ("{1: []}", "property name"),
    ],
)
def test_documents_that_hold_no_rows_are_refused_with_what_to_do(tmp_path: Path, contents: str, complaint: str) -> None:
    (tmp_path / "mine.json").write_text(contents)

    with pytest.raises(InvalidDataset, match=complaint):
        loaded(tmp_path / "mine.json")


def test_a_document_over_several_lines_that_calls_itself_jsonl_is_refused_with_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(json.dumps(ROWS, indent=1))

    with pytest.raises(InvalidDataset, match=r"give it the suffix \.json"):
        loaded(tmp_path / "mine.jsonl")


def test_lines_of_json_that_call_themselves_json_are_read(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(as_jsonl(ROWS), encoding="utf-8")

    assert all_rows(loaded(tmp_path / "mine.json")) == ROWS


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(_TEXT, parts, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(_TEXT, _VALUES, max_size=3)), st.booleans(), st.integers(1, 40), st.sampled_from([None, 1])
)
def test_a_document_that_is_read_in_pieces_is_what_it_is_as_a_whole(
    rows: list[dict[str, Any]], is_wrapped: bool, piece: int, indent: int | None
) -> None:
    class InPieces(io.StringIO):
        def read(self, size: int | None = -1, /) -> str:
            return super().read(piece)

    text = json.dumps({"version": 1, "data": rows, "more": {"of": "it"}} if is_wrapped else rows, indent=indent)

    found = list(rows_in_document(lambda: InPieces(text), "mine.json"))

    assert [row.fields for row in found] == rows
    assert [row.place for row in found] == [f"mine.json, row {n}" for n in range(1, len(rows) + 1)]


def test_values_that_json_does_not_know_are_read_as_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array([b"a", b"b"], pa.binary()),
            "at": pa.array([0, 1], pa.timestamp("s")),
            "price": pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)),
            "picture": pa.array([b"\xff\xd8", b"\xff\xd8"], pa.binary()),
        }
    )
    parquet.write_table(table, tmp_path / "mine.parquet")

    assert all_rows(loaded(tmp_path / "mine.parquet")) == [
        {"text": "a", "at": "1970-01-01T00:00:00", "price": "1.50"},
        {"text": "b", "at": "1970-01-01T00:00:01"},
    ]


@pytest.mark.parametrize("place", ["", "data"])
def test_a_folder_of_the_hub_has_its_parts_in_several_files(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    (tmp_path / "README.md").write_text("A dataset")
    for number, some in enumerate((ROWS[:1], ROWS[1:3])):
        parquet.write_table(pa.Table.from_pylist(list(some)), folder / f"train-0000{number}-of-00002.parquet")
    parquet.write_table(pa.Table.from_pylist(ROWS[3:]), folder / "test-00000-of-00001.parquet")

    dataset = loaded(tmp_path)

    assert (dataset.rows, dataset.held_out) == (ROWS[:3], ROWS[3:])
    assert Datasets(SAMPLES, tmp_path.parent).names().count(tmp_path.name) == 1
    (folder / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(InvalidDataset, match=r"has 1 of the 2 files of train: number 0 \(train-00000-of-00002\)"):
        loaded(tmp_path)


def test_a_folder_of_several_configurations_names_one(tmp_path: Path) -> None:
    (tmp_path / "main").mkdir()
    parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "main" / "train-00000-of-00001.parquet")

    with pytest.raises(InvalidDataset, match=rf"It has the folder main, which is one: give {tmp_path}/main\."):
        loaded(tmp_path)
    assert len(all_rows(loaded(tmp_path / "main"))) == 4


def test_a_folder_with_a_file_of_another_name_names_it(tmp_path: Path) -> None:
    (tmp_path / "alpaca.jsonl").write_text(as_jsonl(ROWS))

    with pytest.raises(InvalidDataset, match=r"It has alpaca\.jsonl: give .*/alpaca\.jsonl, or call that train\.jsonl"):
        loaded(tmp_path)


def test_what_save_to_disk_wrote_is_read(tmp_path: Path) -> None:
    rows = library.Dataset.from_list(ROWS)
    rows.save_to_disk(tmp_path / "alone", num_shards=2)
    library.DatasetDict({"train": rows.select(range(3)), "test": rows.select([3])}).save_to_disk(tmp_path / "parts")

    assert all_rows(loaded(tmp_path / "alone")) == ROWS
    parts = loaded(tmp_path / "parts")
    assert (parts.rows, parts.held_out) == (ROWS[:3], ROWS[3:])
    assert {"alone", "parts"} <= set(Datasets(SAMPLES, tmp_path).names())


def test_what_save_to_disk_wrote_in_part_is_refused(tmp_path: Path) -> None:
    library.Dataset.from_list(ROWS).save_to_disk(tmp_path / "mine")
    (tmp_path / "mine" / "data-00000-of-00001.arrow").unlink()

    with pytest.raises(InvalidDataset, match=r"has no data-00000-of-00001\.arrow, which its state\.json names"):
        loaded(tmp_path / "mine")
    (tmp_path / "mine" / "state.json").write_text("{}")
    with pytest.raises(InvalidDataset, match=r"its state\.json cannot be read"):
        loaded(tmp_path / "mine")


def test_a_file_that_is_named_outside_of_its_folder_is_not_read(tmp_path: Path) -> None:
    library.Dataset.from_list(ROWS).save_to_disk(tmp_path / "mine")
    state = json.loads((tmp_path / "mine" / "state.json").read_text())
    (tmp_path / "mine" / "state.json").write_text(json.dumps(state | {"_data_files": [{"filename": "../other.arrow"}]}))
    (tmp_path / "mine" / "data-00000-of-00001.arrow").rename(tmp_path / "other.arrow")

    with pytest.raises(InvalidDataset, match=r"names \.\./other\.arrow, which lies outside"):
        loaded(tmp_path / "mine")


def test_a_mistyped_file_is_not_taken_for_a_hub_id() -> None:
    with pytest.raises(InvalidDataset, match=r"There is no dataset 'folder/rows\.jsonl'"):
        Datasets(SAMPLES).located("folder/rows.jsonl")


def test_rows_are_read_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(as_jsonl(ROWS) + "}")

    rows = iter(read_file(tmp_path / "mine.jsonl"))

    assert [next(rows).fields for _ in ROWS] == ROWS
    with pytest.raises(InvalidDataset, match="row 5"):
        next(rows)
