"""What a person sees of a method in Prefect: the run form, the description and the tags."""

import json
import shlex
from collections.abc import Sequence
from typing import Any

from adapters.shared.showing.markdown import as_block, as_code, as_paragraphs, as_text
from domain.audit.read_models import SelectableMethod
from domain.catalogue.method_spec import Backend, MethodType
from domain.catalogue.options import ConfigurationOption, OptionType, options_schema
from domain.catalogue.trainer_declaration import TrainerDeclaration, Trainers

TAG = "training-method"
"""Deployments with this tag are ours, and nobody else's."""

SHARE_TAG = "training-share"
"""Of the flow runs in which machines take part in the trainings of others."""


_ACTING_FOR: dict[str, Any] = {
    "type": "string",
    "default": "",
    "description": "For programs: a signed token of the person they act for (tmm token issue). People leave it empty",
}


def deployment_name(method: SelectableMethod, backend: Backend) -> str:
    """The stable part of the address `train/<internal name>-<backend>`, whatever the display name becomes."""
    return f"{method.spec.internal_name}-{backend}"


def tags(method: SelectableMethod, backend: Backend) -> list[str]:
    preinstalled = ["preinstalled"] if method.preinstalled else []
    return [TAG, f"type:{method.spec.method_type}", f"backend:{backend}", *preinstalled]


def default_parameters(method: SelectableMethod, backend: Backend) -> dict[str, Any]:
    """What a run gets when nobody says otherwise."""
    spec = method.spec
    suggested = {"base_model": spec.default_base_model, "dataset": spec.default_dataset}
    return {
        "method": spec.internal_name,
        "backend": backend.value,
        **{name: value for name, value in suggested.items() if value is not None},
        "options": {option.name: option.default for option in spec.configuration_options},
        "seed": 0,
        "output_name": "",
        "columns": "",
        "measure": True,
    }


def run_form(
    method: SelectableMethod, backend: Backend, *, datasets: list[str], base_models: list[str]
) -> dict[str, Any]:
    """The JSON Schema of the `train` flow's parameters for one method on one backend."""
    spec = method.spec
    fields: dict[str, dict[str, Any]] = {
        "base_model": _chosen_or_typed(base_models, "A name to choose, a local folder, or a hub id such as org/name"),
        "dataset": _chosen_or_typed(
            datasets, "A name to choose, a local JSONL file or folder, or a hub id such as org/name"
        ),
        "options": {
            **_options(spec.configuration_options),
            "description": "What this method lets you choose",
            "default": {option.name: option.default for option in spec.configuration_options},
        },
        "seed": {
            "type": "integer",
            "minimum": 0,
            "maximum": 2**31 - 1,
            "default": 0,
            "description": "The same seed on the same machine gives the same weights",
        },
        "output_name": {
            "type": "string",
            "maxLength": 80,
            "default": "",
            "description": "A name for what comes out; optional",
        },
        "columns": {
            "type": "string",
            "maxLength": 400,
            "default": "",
            "description": "Where the dataset's columns have other names: prompt=question, completion=answer",
        },
        "measure": {
            "type": "boolean",
            "default": True,
            "description": "Measure base model and result on the held-out rows; later with tmm measure",
        },
        "method": {
            "type": "string",
            "const": spec.internal_name,
            "default": spec.internal_name,
            "description": "Fixed",
        },
        "backend": {"type": "string", "const": backend.value, "default": backend.value, "description": "Fixed"},
        "acting_for": _ACTING_FOR,
    }
    return _form(fields, required=["method", "backend", "base_model", "dataset"])


def _options(options: Sequence[ConfigurationOption]) -> dict[str, Any]:
    """Their schema. Prefect shows a field's description as markdown, and this one is somebody's text."""
    schema = options_schema(options)
    for field in schema["properties"].values():
        field["description"] = as_text(field["description"])
    return schema


def add_form(names: list[str], trainers: Trainers, *, datasets: list[str], base_models: list[str]) -> dict[str, Any]:
    """The form of `add-training-method`, beside the methods there are."""
    fields: dict[str, dict[str, Any]] = {
        "internal_name": {
            "type": "string",
            "pattern": "^[a-z][a-z0-9-]{1,62}$",
            "description": "2 to 63 lower-case letters, digits and hyphens, starting with a letter; "
            f"not one of {', '.join(names)}",
        },
        "from_method": {
            "type": "string",
            "enum": names,
            "description": "A method to copy: what you leave empty below is taken from it. Without one, method_type, "
            "description, trainer and backends are needed",
        },
        "display_name": {
            "type": "string",
            "minLength": 1,
            "maxLength": 80,
            "description": "What people see, 1 to 80 characters; empty for the internal name",
        },
        "method_type": {
            "type": "string",
            "enum": [kind.value for kind in MethodType],
            "description": "One that the trainer trains, or OTHER",
        },
        "description": {
            "type": "string",
            "minLength": 1,
            "maxLength": 2000,
            "description": "What it does and when to choose it, 1 to 2000 characters",
        },
        "trainer": {
            "type": "string",
            "enum": sorted(trainers),
            "description": "The training code: "
            + ", ".join(f"{name} ({_places(trainer)})" for name, trainer in sorted(trainers.items())),
        },
        "backends": {
            "type": "array",
            "items": {"type": "string", "enum": [backend.value for backend in Backend]},
            "minItems": 1,
            "description": "Where it runs: one or both of the trainer's",
        },
        "configuration_options": {
            "type": "array",
            "items": _option_card(trainers),
            "description": "What people may choose when they train with it. Everything else keeps the trainer's "
            "defaults",
        },
        "default_base_model": _chosen_or_typed(base_models, "What the run form suggests"),
        "default_dataset": _chosen_or_typed(datasets, "What the run form suggests"),
        "acting_for": _ACTING_FOR,
    }
    return _form(fields, required=["internal_name"])


def _option_card(trainers: Trainers) -> dict[str, Any]:
    """One option of a new method. What is left empty is the trainer's: an option may be narrower there, never wider."""
    declared = sorted({option.name for trainer in trainers.values() for option in trainer.options})
    default = [
        {"title": "number", "type": "number"},
        {"title": "text", "type": "string"},
        {"title": "yes or no", "type": "boolean"},
    ]
    fields: dict[str, dict[str, Any]] = {
        "name": {
            "type": "string",
            "enum": declared,
            "description": "One of the trainer's; this deployment's description lists them with their limits",
        },
        "default": {"anyOf": default, "description": "Within the limits; empty for the trainer's own"},
        "minimum": {"type": "number", "description": "Of a number: not below the trainer's; empty for the trainer's"},
        "maximum": {"type": "number", "description": "Of a number: not above the trainer's; empty for the trainer's"},
        "choices": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Of a choice: some of the trainer's; empty for all of them",
        },
        "max_length": {"type": "integer", "minimum": 0, "description": "Of text: its longest, in characters"},
        "description": {"type": "string", "maxLength": 400, "description": "For people; empty for the trainer's own"},
        "type": {
            "type": "string",
            "enum": [kind.value for kind in OptionType],
            "description": "The trainer's; leave it empty",
        },
    }
    return {"title": "option", "type": "object", **_fields(fields, required=["name"])}


def add_description(trainers: Trainers) -> str:
    """Markdown: what the add form needs, and every trainer with its options and their limits."""
    lines = [
        "Add a training method. For commercial users only.",
        "",
        "Choose a trainer, or a method to copy, and say what people may choose. An option's limits may be narrower "
        "than its trainer's, never wider.",
    ]
    for name, trainer in sorted(trainers.items()):
        lines += ["", f"## {as_text(name)}", "", f"{as_text(trainer.summary)}. On {_places(trainer)}."]
        lines += _table(trainer.options)
    return "\n".join(lines)


def _places(trainer: TrainerDeclaration) -> str:
    return f"{' and '.join(trainer.backends)}: {', '.join(trainer.method_types)}"


def delete_form(names: list[str]) -> dict[str, Any]:
    """The form of `delete-training-method`: a drop-down of the methods there are."""
    fields: dict[str, dict[str, Any]] = {
        "internal_name": {
            "type": "string",
            "enum": names,
            "description": "The method to delete. Its waiting runs are cancelled; what is running goes on",
        },
        "only_tell": {
            "type": "boolean",
            "default": False,
            "description": "Only tell which runs that would affect, and delete nothing",
        },
        "acting_for": _ACTING_FOR,
    }
    return _form(fields, required=["internal_name"])


def _chosen_or_typed(names: list[str], description: str) -> dict[str, Any]:
    """A drop-down, and beside it a text field in which the chosen name or anything else stands.

    Prefect's form takes the first alternative of type string for the one that holds a text. The names are of no type,
    so that what is typed stays where it is; and there is no default, which would take away the drop-down at once. The
    deployment's own parameters say what stands in the form at first.
    """
    return {
        "anyOf": [
            {"title": "choose", "enum": names},
            {"title": "type", "type": "string", "minLength": 1, "maxLength": 400},
        ],
        "description": description,
    }


def report_form(names: list[str]) -> dict[str, Any]:
    """The form of `audit-report`: how far back, and optionally one method, one user, words."""
    return _form(
        {
            "days": {"type": "integer", "default": 7, "minimum": 1, "maximum": 3660, "description": "How far back"},
            "method": {"type": "string", "default": "", "enum": ["", *names], "description": "About this method only"},
            "actor": {"type": "string", "default": "", "description": "By this user only"},
            "text": {"type": "string", "default": "", "description": "Only sentences with all of these words"},
        },
        required=[],
    )


def empty_form() -> dict[str, Any]:
    """The form of a flow that asks for nothing."""
    return _form({}, required=[])


def _form(fields: dict[str, dict[str, Any]], *, required: list[str]) -> dict[str, Any]:
    return {"title": "Parameters", "type": "object", **_fields(fields, required=required), "definitions": {}}


def _fields(fields: dict[str, dict[str, Any]], *, required: list[str]) -> dict[str, Any]:
    return {
        "properties": {
            name: {"title": name, "position": position, **field}
            for position, (name, field) in enumerate(fields.items())
        },
        "required": required,
        "additionalProperties": False,
    }


def description(method: SelectableMethod, backend: Backend) -> str:
    """Markdown: the display name leads, then what it does, its options, and lines to copy."""
    spec = method.spec
    address = f"train/{deployment_name(method, backend)}"
    lines = [
        f"# {as_text(spec.display_name)}",
        "",
        as_paragraphs(spec.description),
        "",
        f"`{spec.method_type}` with the trainer {as_code(spec.trainer)} on `{backend}`, version {method.version}.",
    ]
    lines += options_table(method)
    base_model, dataset = spec.default_base_model or "BASE_MODEL", spec.default_dataset or "DATASET"
    command = ["tmm", "train", spec.internal_name, "--backend", backend]
    command += ["--base-model", base_model, "--dataset", dataset]
    parameters = json.dumps({"base_model": base_model, "dataset": dataset})
    lines += [
        "",
        "From a shell:",
        "",
        as_block(shlex.join(command), "bash"),
        "",
        "From Python:",
        "",
        as_block(
            f'from prefect.deployments import run_deployment\n\nrun_deployment("{address}", parameters={parameters})',
            "python",
        ),
    ]
    return "\n".join(lines)


def options_table(method: SelectableMethod) -> list[str]:
    """Markdown lines: every option with its default, its limits and what it is."""
    return _table(method.spec.configuration_options)


def _table(options: Sequence[ConfigurationOption]) -> list[str]:
    if not options:
        return []
    return [
        "",
        "| Option | Default | Limits | |",
        "| --- | --- | --- | --- |",
        *(
            f"| {as_code(option.name)} | {as_code(option.default)} | {as_text(option.limits) or '-'} | "
            f"{as_text(option.description)} |"
            for option in options
        ),
    ]
