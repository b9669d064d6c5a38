"""Where methods' own code is made, tried and kept, as the acts on it need it; and who hears what comes of trying it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from domain.catalogue.method_spec import Backend, MethodCode, MethodSpec
from domain.ports import Finding, KeptCode
from domain.training import Progress, TrainingResult


class Listener(Protocol):
    """Hears what comes of trying code, while it is tried."""

    def found(self, finding: Finding) -> None:
        """A claim of the contract was tried."""
        ...

    def told(self, words: str) -> None:
        """What is tried where, and where it is not."""
        ...


class Nobody:
    """Hears nothing."""

    def found(self, finding: Finding) -> None: ...
    def told(self, words: str) -> None: ...


class Workshop(Protocol):
    """Where code is made, tried and kept. Raises `InvalidMethod`, `CustomCodeFailed` with file and line."""

    def templates(self) -> Sequence[str]:
        """The names of the templates."""
        ...

    def new(self, name: str, *, template: str, backend: Backend, folder: Path) -> None:
        """An editable copy of a template."""
        ...

    def must_hold_code(self, folder: Path) -> None:
        """Raise `InvalidMethod` for a folder without code."""
        ...

    def fields_of(self, folder: Path, name: str, *, present: MethodSpec | None) -> dict[str, Any]:
        """The fields of a spec that the folder's method file gives; backends always."""
        ...

    def check(self, folder: Path, *, backend: Backend, dataset: str, told: Callable[[Finding], None]) -> bool:
        """Try every claim of the contract on a folder's code; whether none is broken."""
        ...

    def was_checked(self, folder: Path, *, backend: Backend) -> bool:
        """Whether this very code was found to keep the contract on this machine."""
        ...

    def run_here(
        self, folder: Path, options: Mapping[str, Any], *, backend: Backend, dataset: str, out: Path, progress: Progress
    ) -> TrainingResult:
        """Train with a folder's code in this very process."""
        ...

    def check_method(self, spec: MethodSpec, *, backend: Backend, told: Callable[[Finding], None]) -> bool:
        """Try every claim of the contract on a method's code or trainer; whether none is broken."""
        ...

    def keep(self, folder: Path, *, backends: Sequence[Backend]) -> MethodCode:
        """Keep a folder's code where every worker finds it; its address and what it declares."""
        ...

    def keep_aside(self, name: str, folder: Path, *, broken: Sequence[str], by: str) -> KeptCode:
        """Keep code that breaks these claims, for this method, only to be looked at and mended."""
        ...

    def kept_aside(self, name: str) -> Sequence[KeptCode]:
        """Code that was kept for this method although it breaks the contract, the oldest first."""
        ...

    def bring(self, code_hash: str, folder: Path) -> None:
        """Write the files of kept code into a folder that is new or empty."""
        ...

    def files(self, code_hash: str) -> Mapping[str, str]:
        """The files of kept code, as text."""
        ...

    def files_in(self, folder: Path) -> Mapping[str, str]:
        """The files of a folder as they would be kept."""
        ...
