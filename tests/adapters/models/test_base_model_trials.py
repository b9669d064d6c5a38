"""A base model that is new here is tried once, where it may run away: in a process with limits of time and memory."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.models import BaseModels, Tried, trying
from domain.errors import InvalidBaseModel
from infra.settings import CHECKOUT

SAMPLES = CHECKOUT / "infra" / "samples"


@pytest.fixture
def base_models(tmp_path: Path) -> BaseModels:
    return BaseModels(SAMPLES, tried=Tried(tmp_path / "tried"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLES / "small-base", tmp_path / "model"))


@pytest.fixture
def not_tried_again(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def from_here_on() -> None:
        def tried(_: Path) -> str:
            raise AssertionError("it was tried once more")

        monkeypatch.setattr(trying, "_tried", tried)

    return from_here_on


def configured(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


TEMPLATES = {
    "loops for ever": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}"
        "{% endfor %}",
        "the chat template was ended by the system after 10 seconds of computing",
    ),
    "loops for ever on a long conversation": (
        "{% if messages|length > 20 %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
        "{% endif %}",
        "the chat template was ended by the system after 10 seconds of computing",
    ),
    "takes all memory": ("{{ ('x' * 99999) * 99999999 }}", "the chat template takes more memory than any does"),
    "writes without end": ("{% for a in range(9999) %}{{ 'word ' * 999 }}{% endfor %}", "the chat template writes"),
}


@pytest.mark.sample("loops for ever on a long conversation", "takes all memory")
@pytest.mark.processes
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if "for ever" not in kind else pytest.mark.training) for kind in TEMPLATES]
)
def test_a_chat_template_that_runs_away_is_ended_with_a_sentence_and_remembered(
    base_models: BaseModels, copy: Path, kind: str, not_tried_again: Callable[[], None]
) -> None:
    template, words = TEMPLATES[kind]
    (copy / "chat_template.jinja").write_text(template)

    with pytest.raises(InvalidBaseModel, match=words):
        base_models.open(str(copy))
    not_tried_again()
    with pytest.raises(InvalidBaseModel, match=words):
        base_models.open(str(copy))


@pytest.mark.processes
def test_a_model_that_does_no_harm_is_tried_once(
    base_models: BaseModels, copy: Path, tmp_path: Path, not_tried_again: Callable[[], None]
) -> None:
    (copy / "chat_template.jinja").write_text((copy / "chat_template.jinja").read_text() + "{# ours #}")
    opened = base_models.open(str(copy))
    assert len(list((tmp_path / "tried").iterdir())) == 1

    not_tried_again()
    assert base_models.open(str(copy)) == opened
    (copy / "chat_template.jinja").write_text("another")
    with pytest.raises(AssertionError, match="once more"):
        base_models.open(str(copy))


def test_the_sample_is_known_wherever_it_lies(
    base_models: BaseModels, copy: Path, not_tried_again: Callable[[], None]
) -> None:
    not_tried_again()
    assert base_models.open(str(copy)).files_hash == base_models.open("small-base").files_hash


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hidden_size": 10**9}, "hidden_size is 1000000000"),
        ({"vocab_size": 10**12}, "vocab_size is 1000000000000"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"text_config": {"intermediate_size": 10**9}}, "intermediate_size is"),
        ({"hidden_size": 10**400}, "hidden_size is 1000"),
    ],
)
def test_a_configuration_of_absurd_sizes_is_refused_by_its_field(
    base_models: BaseModels, copy: Path, fields: dict[str, object], words: str
) -> None:
    configured(copy, **fields)
    with pytest.raises(InvalidBaseModel, match=words):
        base_models.open(str(copy))


@pytest.mark.processes
def test_a_configuration_that_wishes_for_many_times_the_weights_is_refused(base_models: BaseModels, copy: Path) -> None:
    configured(copy, num_key_value_heads=4, num_attention_heads=4, hidden_size=4096, intermediate_size=8192)
    with pytest.raises(InvalidBaseModel, match=r"the configuration describes [\d,]+ weights, and the files hold"):
        base_models.open(str(copy))


def absurd(file: Path, head: bytes, length: int | None = None, rest: bytes = b"") -> None:
    file.write_bytes((len(head) if length is None else length).to_bytes(8, "little") + head + rest)


@pytest.mark.parametrize(
    ("tensor", "rest"),
    [
        ({"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}, b"1234"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 10**15]}, b"1234"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, b"1234"),
        ({"dtype": "F32", "shape": ["1"], "data_offsets": [0, 4]}, b"1234"),
        ({"dtype": "F32", "shape": [1] * 10_000, "data_offsets": [0, 4]}, b"1234"),
        ({"shape": []}, b""),
        ("nothing", b""),
    ],
)
def test_a_tensor_that_its_file_cannot_hold_is_refused(
    base_models: BaseModels, copy: Path, tensor: object, rest: bytes
) -> None:
    absurd(copy / "model.safetensors", json.dumps({"a": tensor}).encode(), rest=rest)
    with pytest.raises(InvalidBaseModel, match="cannot hold"):
        base_models.open(str(copy))


@pytest.mark.parametrize(("head", "length"), [(b"{}", 2**63), (b"{", 1), (b"[" * 100_000, None), (b"[]", None)])
def test_a_head_that_is_none_is_refused(base_models: BaseModels, copy: Path, head: bytes, length: int | None) -> None:
    absurd(copy / "model.safetensors", head, length)
    with pytest.raises(InvalidBaseModel, match="does not begin as a safetensors file does"):
        base_models.open(str(copy))
