"""What a person sees of a method in Prefect: the run form, the description and the tags."""

from typing import Any

from domain.method_spec import Backend, MethodType
from domain.options import options_schema
from domain.read_models import SelectableMethod

TAG = "training-method"
"""Deployments with this tag are ours, and nobody else's."""


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
    }


def run_form(
    method: SelectableMethod, backend: Backend, *, datasets: list[str], base_models: list[str]
) -> dict[str, Any]:
    """The JSON Schema of the `train` flow's parameters for one method on one backend."""
    spec = method.spec
    fields: dict[str, dict[str, Any]] = {
        "base_model": {
            "type": "string",
            "description": f"A sample ({', '.join(base_models)}), a local folder, or a hub id such as org/name",
            "examples": base_models,
            **({"default": spec.default_base_model} if spec.default_base_model else {}),
        },
        "dataset": {
            "type": "string",
            "description": f"A sample ({', '.join(datasets)}), a local JSONL file or folder, or a hub id",
            "examples": datasets,
            **({"default": spec.default_dataset} if spec.default_dataset else {}),
        },
        "options": {
            **options_schema(spec.configuration_options),
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


def add_form(names: list[str], trainers: list[str]) -> dict[str, Any]:
    """The form of `add-training-method`, beside the methods there are."""
    suggestion = {"type": "string", "default": "", "description": "What the run form suggests; optional"}
    fields: dict[str, dict[str, Any]] = {
        "internal_name": {
            "type": "string",
            "pattern": "^[a-z][a-z0-9-]{1,62}$",
            "description": "2 to 63 lower-case letters, digits and hyphens, starting with a letter; "
            f"not one of {', '.join(names)}",
        },
        "display_name": {"type": "string", "minLength": 1, "maxLength": 80, "description": "1 to 80 characters"},
        "method_type": {"type": "string", "enum": [kind.value for kind in MethodType]},
        "description": {"type": "string", "minLength": 1, "maxLength": 2000},
        "trainer": {"type": "string", "enum": trainers},
        "backends": {
            "type": "array",
            "items": {"type": "string", "enum": [backend.value for backend in Backend]},
            "minItems": 1,
        },
        "configuration_options": {
            "type": "array",
            "items": {"type": "object"},
            "default": [],
            "description": "What the method lets people choose: objects with name, type, default, limits and "
            "description. Empty: everything keeps the trainer's defaults",
        },
        "default_base_model": suggestion,
        "default_dataset": suggestion,
        "acting_for": _ACTING_FOR,
    }
    required = ["internal_name", "display_name", "method_type", "description", "trainer", "backends"]
    return _form(fields, required=required)


def delete_form(names: list[str]) -> dict[str, Any]:
    """The form of `delete-training-method`: a drop-down of the methods there are."""
    fields: dict[str, dict[str, Any]] = {"internal_name": {"type": "string", "enum": names}, "acting_for": _ACTING_FOR}
    return _form(fields, required=["internal_name"])


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
    return {
        "title": "Parameters",
        "type": "object",
        "properties": {
            name: {"title": name, "position": position, **field}
            for position, (name, field) in enumerate(fields.items())
        },
        "required": required,
        "additionalProperties": False,
        "definitions": {},
    }


def description(method: SelectableMethod, backend: Backend) -> str:
    """Markdown: the display name leads, then what it does, its options, and lines to copy."""
    spec = method.spec
    address = f"train/{deployment_name(method, backend)}"
    lines = [
        f"# {spec.display_name}",
        "",
        spec.description,
        "",
        f"`{spec.method_type}` with the trainer `{spec.trainer}` on `{backend}`, version {method.version}.",
    ]
    lines += options_table(method)
    base_model, dataset = spec.default_base_model or "BASE_MODEL", spec.default_dataset or "DATASET"
    lines += [
        "",
        "From a shell:",
        "",
        "```bash",
        f"tmm train {spec.internal_name} --backend {backend} --base-model {base_model} --dataset {dataset}",
        "```",
        "",
        "From Python:",
        "",
        "```python",
        "from prefect.deployments import run_deployment",
        "",
        f'run_deployment("{address}", parameters={{"base_model": "{base_model}", "dataset": "{dataset}"}})',
        "```",
    ]
    return "\n".join(lines)


def options_table(method: SelectableMethod) -> list[str]:
    """Markdown lines: every option with its default, its limits and what it is."""
    options = method.spec.configuration_options
    if not options:
        return []
    return [
        "",
        "| Option | Default | Limits | |",
        "| --- | --- | --- | --- |",
        *(
            f"| `{option.name}` | `{option.default}` | {option.limits or '-'} | {cell(option.description)} |"
            for option in options
        ),
    ]


def cell(text: str) -> str:
    """Text as it may stand in a cell of a markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
