"""A folder with a method's own code, as commands take it: `method.py`, and a method file beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from adapters.cli.method_files import MethodFile
from domain.catalogue.method_spec import CUSTOM, Backend, MethodCode, MethodSpec
from domain.errors import InvalidMethod

METHOD_FILE = "method.yaml"
CODE_FILE = "method.py"

folder_argument = click.Path(path_type=Path, file_okay=False)


def fields_of(folder: Path, name: str, *, present: MethodSpec | None) -> dict[str, Any]:
    """The fields of a spec that the folder's method file gives; backends always. Raises `InvalidMethod`."""
    path = folder / METHOD_FILE
    fields: dict[str, Any] = {}
    if path.is_symlink():
        raise InvalidMethod(f"{path} is a symbolic link; a method's code is kept as plain files.")
    if path.is_file():
        file = MethodFile.read(str(path))
        fields = dict(file.fields)
        for theirs in ("code", "trainer"):
            if theirs in fields:
                raise InvalidMethod(f"{path}: {theirs} cannot be given here; it is the code in {CODE_FILE}.")
        if present is not None and fields.setdefault("internal_name", name) != name:
            raise InvalidMethod(f"{path}: internal_name is {fields['internal_name']!r}, but you named {name!r}.")
    backends = fields.get("backends", list(present.backends) if present else ["cuda"])
    try:
        fields["backends"] = [Backend(backend) for backend in backends]
    except (TypeError, ValueError):
        raise InvalidMethod(f"{path}: backends must be a list of cuda and mlx, not {backends!r}.") from None
    if path.is_file():
        try:
            MethodSpec.parse(_NAMELESS | fields)  # before anybody waits for the check
        except InvalidMethod as error:
            raise file.with_lines(error) from None
    return fields


_NAMELESS = {
    "internal_name": "any",
    "display_name": "Any",
    "method_type": "OTHER",
    "description": "…",
    "trainer": "any",
}


def code_fields(code: MethodCode, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that follow from code. It offers all that it declares, unless the method file says what."""
    offered = [option.model_dump(mode="json", exclude_none=True) for option in code.options]
    return {
        "code": code.model_dump(mode="json"),
        "trainer": CUSTOM,
        "configuration_options": fields.get("configuration_options", offered),
    }
