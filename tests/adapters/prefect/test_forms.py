"""The run form and the forms of the catalogue, as Prefect's server checks them."""

from typing import Any
from uuid import uuid4

import pytest
from prefect.utilities.schema_tools import validation

from adapters import trainers
from adapters.prefect import forms
from adapters.shared.showing.markdown import as_code, as_text
from domain.audit.read_models import SelectableMethod
from domain.catalogue.method_spec import Backend
from domain.catalogue.preinstalled import preinstalled_methods

NAMES = {"datasets": ["sft-demo", "tickets.jsonl"], "base_models": ["small-base"]}
SPEC = next(spec for spec in preinstalled_methods((Backend.CUDA,)) if spec.internal_name == "sft-demo")
METHOD = SelectableMethod(method_id=uuid4(), spec=SPEC, version=1, preinstalled=True)


def faults(form: dict[str, Any], given: dict[str, Any]) -> list[str]:
    validation.is_valid_schema(form)
    return [error.json_path for error in validation.validate(given, form)]


def run(**given: Any) -> dict[str, Any]:
    return forms.default_parameters(METHOD, Backend.CUDA) | given


@pytest.mark.parametrize("dataset", ["sft-demo", "tickets.jsonl", "/data/answers.jsonl", "organisation/name"])
def test_a_dataset_is_a_name_of_the_drop_down_or_anything_that_is_typed(dataset: str) -> None:
    form = forms.run_form(METHOD, Backend.CUDA, **NAMES)
    assert form["properties"]["dataset"]["anyOf"][0]["enum"] == NAMES["datasets"]
    assert faults(form, run(dataset=dataset)) == []


@pytest.mark.parametrize("wrong", ["", 7, ["sft-demo"], "x" * 401])
def test_a_dataset_that_cannot_be_one_is_refused_before_a_worker_starts(wrong: object) -> None:
    assert faults(forms.run_form(METHOD, Backend.CUDA, **NAMES), run(dataset=wrong)) == ["$.dataset"]


def test_unknown_parameters_and_options_are_refused() -> None:
    form = forms.run_form(METHOD, Backend.CUDA, **NAMES)
    assert faults(form, run(warp=9)) == ["$"]
    assert faults(form, run(options={"warp": 9})) == ["$.options"]
    assert faults(form, run(options={"max_steps": 0})) == ["$.options.max_steps"]
    assert faults(form, run(method="grpo-demo")) == ["$.method"]


def test_the_add_form_offers_trainers_methods_backends_and_options_to_choose_from() -> None:
    form = forms.add_form(["sft-demo"], trainers.declarations(), **NAMES)
    fields = form["properties"]
    assert fields["from_method"]["enum"] == ["sft-demo"]
    assert fields["trainer"]["enum"] == sorted(trainers.declarations())
    assert fields["backends"]["items"]["enum"] == ["cuda", "mlx"]
    card = fields["configuration_options"]["items"]
    assert {"learning_rate", "num_generations"} <= set(card["properties"]["name"]["enum"])
    assert faults(form, {"internal_name": "mine", "from_method": "sft-demo"}) == []
    option = {"name": "learning_rate", "default": 1e-4, "minimum": 1e-5, "maximum": 1e-3}
    assert faults(form, {"internal_name": "mine", "trainer": "sft", "configuration_options": [option]}) == []
    assert faults(form, {"internal_name": "Mine"}) == ["$.internal_name"]
    wrong = {"internal_name": "mine", "configuration_options": [{"name": "warp"}]}
    assert faults(form, wrong) == ["$.configuration_options[0].name"]


def test_the_page_of_the_add_form_tells_every_trainers_options_and_limits() -> None:
    page = forms.add_description(trainers.declarations())
    for name, trainer in trainers.declarations().items():
        told = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for option in trainer.options:
            assert f"| `{option.name}` | {as_code(option.default)} | {as_text(option.limits) or '-'} |" in told


def test_the_delete_form_is_a_drop_down_of_the_methods_there_are() -> None:
    form = forms.delete_form(["sft-demo", "custom01"])
    assert faults(form, {"internal_name": "custom01"}) == []
    assert faults(form, {"internal_name": "gone"}) == ["$.internal_name"]
