"""A folder with a method's own code, as people have it: `method.py`, and a method file beside it."""

from pathlib import Path
from typing import Any

from adapters.custom_code.code_store import ENTRY
from adapters.shared.method_files import MethodFile
from domain.catalogue.method_spec import Backend, MethodSpec
from domain.errors import InvalidMethod

_METHOD_FILE = "method.yaml"


def must_hold_code(folder: Path) -> None:
    """Raise `InvalidMethod` for a folder without code."""
    if not (folder / ENTRY).is_file():
        raise InvalidMethod(f"{folder} has no {ENTRY}, which holds a method's Options and train.")


def fields_of(folder: Path, name: str, *, present: MethodSpec | None) -> dict[str, Any]:
    """The fields of a spec that the folder's method file gives; backends always. Raises `InvalidMethod`."""
    path = folder / _METHOD_FILE
    fields: dict[str, Any] = {}
    if path.is_symlink():
        raise InvalidMethod(f"{path} is a symbolic link; a method's code is kept as plain files.")
    if path.is_file():
        file = MethodFile.read(str(path))
        fields = dict(file.fields)
        for theirs in ("code", "trainer"):
            if theirs in fields:
                raise InvalidMethod(f"{path}: {theirs} cannot be given here; it is the code in {ENTRY}.")
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
