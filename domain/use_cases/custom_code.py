"""The acts on methods' own code: begin with a template, try it, put it in place, look at it, and put it back."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field, SkipValidation

from domain.audit.read_models import MethodVersion, SelectableMethod
from domain.catalogue.catalogue import Catalogue
from domain.catalogue.method_spec import CUSTOM, Backend, MethodCode, MethodSpec, MethodType
from domain.errors import (
    CodeBreaksContract,
    CodeNotPutBack,
    CustomCodeFailed,
    InvalidMethod,
    NoCodeOfItsOwn,
    NoSuchVersion,
)
from domain.people.users import User
from domain.ports import Finding, KeptCode
from domain.training import Progress, TrainingResult
from domain.use_cases.act import Act, R
from domain.use_cases.workshop import Listener, Nobody, Workshop
from domain.values import Value

_SAMPLE = "sft-demo"
"""What code is tried on that names no dataset of its own."""
_FIRST_TEMPLATE = "custom01"
_SHORTEST_HASH = 6
_PUT_BACK = ("code", "trainer", "backends", "configuration_options", "default_base_model", "default_dataset")


class _Trying(Act[R]):
    """Trying code takes its time: the listener hears of it meanwhile."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    listener: SkipValidation[Listener] = Field(default=Nobody(), exclude=True, repr=False)


class MadeFolder(Value):
    """A folder to edit, for a backend."""

    folder: Path
    backend: Backend


class NewCode(Act[MadeFolder]):
    """An editable copy of a template; without one, of the template of this name, or else the first.

    Raises `InvalidMethod` where there is something already, or for a template that there is not.
    """

    name: str
    folder: Path
    backend: Backend | None = None
    template: str | None = None


class CheckFolder(_Trying[Sequence[Finding]]):
    """Try every claim of the contract on a folder's code, on a backend or on all that it names and are here."""

    folder: Path
    backend: Backend | None = None


class CheckMethod(_Trying[Sequence[Finding]]):
    """Try every claim of the contract on a method's code or trainer."""

    name: str
    backend: Backend | None = None


class RunHere(Act[TrainingResult]):
    """Train with a folder's code in this very process, where a debugger can follow it.

    Raises `CustomCodeFailed` from whatever the code raises. Nothing of it reaches the catalogue or the log.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    folder: Path
    out: Path
    progress: SkipValidation[Progress] = Field(exclude=True, repr=False)
    options: Mapping[str, Any] = {}
    backend: Backend | None = None
    dataset: str | None = None


class PutInPlace(Value):
    """A method with the code that it trains with from now on, or already did.

    `kept_aside` is code that breaks the contract and was kept to be mended: then the method trains as before. `version`
    is the older one that was put back. `remark` says what lags behind, such as Prefect.
    """

    method: SelectableMethod
    changed: bool
    kept_aside: KeptCode | None = None
    version: int | None = None
    remark: str | None = None


class SaveCode(_Trying[PutInPlace]):
    """Check a folder's code, keep it where every worker finds it, and let the method train with it from now on.

    Raises `CodeBreaksContract`; with `force` code that breaks the contract is kept, and not selectable.
    """

    name: str
    folder: Path
    force: bool = False


class AddWithCode(_Trying[PutInPlace]):
    """Put a method into the catalogue that trains with a folder's code. Raises `CodeBreaksContract`.

    `fields` go before those of the folder's method file.
    """

    name: str
    folder: Path
    fields: Mapping[str, Any] = {}


class KeptVersions(Value):
    """What a method was, the oldest first, and code that was only kept for it."""

    versions: tuple[MethodVersion, ...]
    aside: tuple[KeptCode, ...]


class CodeVersions(Act[KeptVersions]):
    """What a method trained with, from its first version on. Raises `MethodNotFound`."""

    name: str


class CodeFiles(Act[Mapping[str, str]]):
    """The files of a method's code, as text: of a version, of code whose hash begins so, or the present ones.

    Raises `NoSuchVersion`, `NoCodeOfItsOwn`.
    """

    name: str
    version: str | None = None


class FolderFiles(Act[Mapping[str, str]]):
    """The files of a folder as they would be kept. Raises `InvalidMethod`."""

    folder: Path


class BringCode(Act[None]):
    """Write a version's code, also one that was only kept, into a folder. Raises as `CodeFiles` and `NewCode` do."""

    name: str
    version: str
    folder: Path


class RestoreCode(Act[PutInPlace]):
    """Put an older version back: its code, or its trainer if it had none, with the options that it offered.

    Raises `NoSuchVersion`, and `CodeNotPutBack` for code that breaks the contract.
    """

    name: str
    version: str


class CustomCode:
    """Does these acts on a machine that has these backends. `follow` lets Prefect follow the catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        workshop: Workshop,
        *,
        backends: Sequence[Backend],
        follow: Callable[[], str | None],
    ) -> None:
        self._catalogue = catalogue
        self._workshop = workshop
        self._backends = tuple(backends)
        self._follow = follow

    # Making and trying.

    def new(self, act: NewCode, _: User, __: UUID | None = None) -> MadeFolder:
        """An editable copy of a template."""
        templates = self._workshop.templates()
        template = act.template or (act.name if act.name in templates else _FIRST_TEMPLATE)
        backend = act.backend or self._backends[0]
        self._workshop.new(act.name, template=template, backend=backend, folder=act.folder)
        return MadeFolder(folder=act.folder, backend=backend)

    def check_folder(self, act: CheckFolder, _: User, __: UUID | None = None) -> Sequence[Finding]:
        """Try every claim of the contract on a folder's code."""
        self._workshop.must_hold_code(act.folder)
        fields = self._workshop.fields_of(act.folder, act.folder.absolute().name, present=None)
        dataset, findings = fields.get("default_dataset") or _SAMPLE, _Findings(act.listener)
        for backend in self._tried_on([act.backend] if act.backend else fields["backends"], act.listener):
            self._workshop.check(act.folder, backend=backend, dataset=dataset, told=findings)
        return findings.all

    def check_method(self, act: CheckMethod, _: User, __: UUID | None = None) -> Sequence[Finding]:
        """Try every claim of the contract on a method's code or trainer."""
        spec, findings = self._catalogue.method(act.name).spec, _Findings(act.listener)
        for backend in self._tried_on([act.backend] if act.backend else spec.backends, act.listener):
            self._workshop.check_method(spec, backend=backend, told=findings)
        return findings.all

    def run_here(self, act: RunHere, _: User, __: UUID | None = None) -> TrainingResult:
        """Train with a folder's code in this very process."""
        self._workshop.must_hold_code(act.folder)
        fields = self._workshop.fields_of(act.folder, act.folder.absolute().name, present=None)
        try:
            return self._workshop.run_here(
                act.folder,
                act.options,
                backend=act.backend or fields["backends"][0],
                dataset=act.dataset or fields.get("default_dataset") or _SAMPLE,
                out=act.out,
                progress=act.progress,
            )
        except Exception as error:
            raise CustomCodeFailed(f"The code in {act.folder} did not come to its end.") from error

    # Putting in place.

    def save(self, act: SaveCode, by: User, command_id: UUID | None = None) -> PutInPlace:
        """Let a method train with a folder's code. Runs that have started go on with what they began with."""
        name, before, tried = act.name, self._catalogue.method(act.name), {"code": str(act.folder)}
        with self._catalogue.rights_before_values("modify", name, by=by, tried=tried):
            fields = self._workshop.fields_of(act.folder, name, present=before.spec)
        # Before the code is tried, or kept.
        self._catalogue.must_be_allowed("modify", name, by=by, tried=fields | tried)
        if broken := self._broken(act.folder, fields, act.listener):
            if not act.force:
                raise CodeBreaksContract(broken)
            aside = self._workshop.keep_aside(name, act.folder, broken=broken, by=by.name)
            return PutInPlace(method=before, changed=False, kept_aside=aside)
        code = self._workshop.keep(act.folder, backends=fields["backends"])
        method = self._catalogue.modify(name, fields | code_fields(code, fields), by=by, command_id=command_id)
        return self._put_in_place(before, method)

    def add(self, act: AddWithCode, by: User, command_id: UUID | None = None) -> PutInPlace:
        """Put a method into the catalogue that trains with a folder's code."""
        tried = {"code": str(act.folder), **act.fields}
        with self._catalogue.rights_before_values("add", act.name, by=by, tried=tried):
            fields = {
                "display_name": act.name,
                "method_type": MethodType.OTHER,
                "description": f"Training logic of our own: {act.name}",
                **self._workshop.fields_of(act.folder, act.name, present=None),
                **act.fields,
                "internal_name": act.name,  # the folder may have been made for another method, a template for one
            }
            # Nobody waits for the check of what they will be refused, and nothing is kept of what they bring.
            self._catalogue.must_be_entitled_to_add(act.name, by=by)
            backends = [Backend(backend) for backend in fields["backends"]]
            if broken := self._broken(act.folder, fields | {"backends": backends}, act.listener):
                raise CodeBreaksContract(broken)
            code = self._workshop.keep(act.folder, backends=backends)
            spec = MethodSpec.parse(fields | code_fields(code, fields))
        method = self._catalogue.add(spec, by=by, command_id=command_id)
        return PutInPlace(method=method, changed=True, remark=self._follow())

    def restore(self, act: RestoreCode, by: User, command_id: UUID | None = None) -> PutInPlace:
        """Put an older version back."""
        before, found = self._catalogue.method(act.name), self._found(act.name, act.version)
        if isinstance(found, KeptCode):
            raise CodeNotPutBack(act.name, found.hash, found.broken)
        wanted = found.spec.model_dump(mode="json")
        changes = {field: wanted[field] for field in _PUT_BACK}
        method = self._catalogue.modify(act.name, changes, by=by, command_id=command_id)
        return self._put_in_place(before, method).model_copy(update={"version": found.version})

    # Looking.

    def versions(self, act: CodeVersions, _: User, __: UUID | None = None) -> KeptVersions:
        """What a method trained with, and code that was only kept for it."""
        versions = tuple(self._catalogue.versions(act.name))
        return KeptVersions(versions=versions, aside=tuple(self._workshop.kept_aside(act.name)))

    def files(self, act: CodeFiles, _: User, __: UUID | None = None) -> Mapping[str, str]:
        """The files of a method's code."""
        return self._workshop.files(self._hash_of(act.name, act.version))

    def folder_files(self, act: FolderFiles, _: User, __: UUID | None = None) -> Mapping[str, str]:
        """The files of a folder as they would be kept."""
        return self._workshop.files_in(act.folder)

    def bring(self, act: BringCode, _: User, __: UUID | None = None) -> None:
        """Write a version's code into a folder."""
        self._catalogue.method(act.name)
        self._workshop.bring(self._hash_of(act.name, act.version), act.folder)

    def _put_in_place(self, before: SelectableMethod, method: SelectableMethod) -> PutInPlace:
        if method.version == before.version:
            return PutInPlace(method=method, changed=False)
        return PutInPlace(method=method, changed=True, remark=self._follow())

    def _tried_on(self, backends: Sequence[Backend], listener: Listener) -> list[Backend]:
        here = [backend for backend in backends if backend in self._backends]
        if not here:
            raise InvalidMethod(
                f"None of its backends ({', '.join(backends)}) is on this machine, so it cannot be tried."
            )
        if missing := [backend for backend in backends if backend not in here]:
            listener.told(f"This machine has no {' and no '.join(missing)}: there it is not tried.")
        return here

    def _broken(self, folder: Path, fields: Mapping[str, Any], listener: Listener) -> list[str]:
        """The claims that the folder's code breaks; it is not tried again where it was found to keep them."""
        dataset, findings = fields.get("default_dataset") or _SAMPLE, _Findings(listener, broken_alone=True)
        for backend in self._tried_on(fields["backends"], listener):
            if not self._workshop.was_checked(folder, backend=backend):
                listener.told(f"Checking {folder} on {backend} …")
                self._workshop.check(folder, backend=backend, dataset=dataset, told=findings)
        return [finding.claim for finding in findings.all if finding.verdict == "broken"]

    def _found(self, name: str, version: str | None) -> MethodVersion | KeptCode:
        """The version of this number, or what has code of this hash: the newest version before what was only kept."""
        found = self._catalogue.versions(name)
        if version is None:
            return found[-1]
        for candidate in found:
            if str(candidate.version) == version:
                return candidate
        if len(version) >= _SHORTEST_HASH:
            for candidate in reversed(found):
                if candidate.spec.code and candidate.spec.code.hash.startswith(version):
                    return candidate
            for kept in self._workshop.kept_aside(name):
                if kept.hash.startswith(version):
                    return kept
        raise NoSuchVersion(name, version)

    def _hash_of(self, name: str, version: str | None) -> str:
        found = self._found(name, version)
        if isinstance(found, KeptCode):
            return found.hash
        if found.spec.code is None:
            raise NoCodeOfItsOwn(name, found.version, found.spec.trainer)
        return found.spec.code.hash


class _Findings:
    """Remembers findings, and lets the listener hear them as they come."""

    def __init__(self, listener: Listener, *, broken_alone: bool = False) -> None:
        self._listener = listener
        self._broken_alone = broken_alone
        self.all: list[Finding] = []

    def __call__(self, finding: Finding) -> None:
        self.all.append(finding)
        if finding.verdict == "broken" or not self._broken_alone:
            self._listener.found(finding)


def code_fields(code: MethodCode, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that follow from code. It offers all that it declares, unless the method file says what."""
    offered = [option.model_dump(mode="json", exclude_none=True) for option in code.options]
    return {
        "code": code.model_dump(mode="json"),
        "trainer": CUSTOM,
        "configuration_options": fields.get("configuration_options", offered),
    }
