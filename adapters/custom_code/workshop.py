"""Where developers make methods of their own: templates to begin from, the check, and the store that keeps code."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from adapters.custom_code.allowance import Allowance
from adapters.custom_code.code_store import Code, CodeStore
from adapters.custom_code.contract import load, make_ready
from adapters.custom_code.method_folder import fields_of, must_hold_code
from adapters.custom_code.running import CustomTrainer, facts_of, in_a_process
from adapters.shared.privacy import as_the_user_has_it
from adapters.shared.training.checkpoints import FolderCheckpoints
from domain.catalogue.method_spec import Backend, MethodCode, MethodSpec
from domain.catalogue.options import ConfigurationOption
from domain.errors import InvalidMethod, NotFound
from domain.ports import Dataset, Device, Finding, KeptCode
from domain.training import Progress, TrainingJob, TrainingResult

_KIT = Path(__file__).parent
_ROWS_TRIED = 64
_DECLARED_WITHIN_S = 60.0
_CHECKED_WITHOUT_WORD_S = 300.0

Told = Callable[[Finding], None]


class TriedWith(Protocol):
    """What training code is tried with and beside on this machine."""

    def sample(self, dataset: str) -> Dataset:
        """A dataset by its name or path. Raises `InvalidDataset`."""
        ...

    def small_base(self) -> str:
        """Where the small base model lies."""
        ...

    def device(self, backend: Backend) -> Device:
        """What trains here. Raises `BackendUnavailable`."""
        ...

    def built_in(self, trainer: str) -> str:
        """The module of a trainer that comes with the service. Raises `InvalidMethod`."""
        ...

    @property
    def opening(self) -> str:
        """The module whose `opened` opens models, in the process in which code is checked."""
        ...


class Workshop:
    """Makes, checks, keeps and hands out methods' own code.

    `templates` is their folder, and `notes` the one of this machine that remembers which code passed the check.
    """

    def __init__(
        self, store: CodeStore, *, templates: Path, notes: Path, allowance: Allowance, tried_with: TriedWith
    ) -> None:
        self._store = store
        self._templates = templates
        self._notes = notes
        self._allowance = allowance
        self._with = tried_with

    # Beginning.

    def templates(self) -> list[str]:
        """The names of the templates."""
        return sorted(path.name for path in self._templates.iterdir() if (path / "method.yaml").is_file())

    def new(self, name: str, *, template: str, backend: Backend, folder: Path) -> None:
        """An editable copy of a template, for one backend. Raises `InvalidMethod` where there is something already."""
        if template not in self.templates():
            raise InvalidMethod(f"There is no template {template!r} (there are: {', '.join(self.templates())}).")
        with as_the_user_has_it(folder), _fresh(folder):
            for file in sorted((self._templates / template).iterdir()):
                stem, _, of = file.stem.partition("_on_")
                if of in ("", backend.value) and file.is_file():
                    text = _named(file.read_text(encoding="utf-8"), template, name, backend)
                    (folder / f"{stem}{file.suffix}").write_text(text, encoding="utf-8")

    # Reading what developers have.

    def must_hold_code(self, folder: Path) -> None:
        """Raise `InvalidMethod` for a folder without code."""
        must_hold_code(folder)

    def fields_of(self, folder: Path, name: str, *, present: MethodSpec | None) -> dict[str, Any]:
        """The fields of a spec that the folder's method file gives; backends always. Raises `InvalidMethod`."""
        return fields_of(folder, name, present=present)

    # Keeping.

    def keep(self, folder: Path, *, backends: Sequence[Backend]) -> MethodCode:
        """Keep code that passed the check where every worker finds it; its address and what it declares.

        Raises `InvalidMethod`, and `CustomCodeFailed` with file and line where it cannot even be imported.
        """
        code = Code.read(folder)
        with self._copied(code) as copy:
            options = self._declared(copy)
        declared = MethodCode(hash=code.hash, backends=tuple(backends), options=options)
        self._store.keep_checked(code, declared)
        return declared

    def keep_aside(self, name: str, folder: Path, *, broken: Sequence[str], by: str) -> KeptCode:
        """Keep the folder's code, which breaks these claims, for this method, only to be looked at and mended."""
        return self._store.keep_aside(name, Code.read(folder), at=datetime.now(UTC), by=by, broken=broken)

    def kept_aside(self, name: str) -> list[KeptCode]:
        """Code that was kept for this method although it breaks the contract, the oldest first."""
        return self._store.kept_aside(name)

    def bring(self, code_hash: str, folder: Path) -> None:
        """Write the files of kept code into a folder. Raises `InvalidMethod` where there is something already."""
        code = self._store.code(code_hash)
        with _fresh(folder):
            code.write(folder)

    def hash_of(self, folder: Path) -> str:
        """The hash that the folder's code would be kept under. Raises `InvalidMethod`."""
        return Code.read(folder).hash

    def files(self, code_hash: str) -> Mapping[str, str]:
        """The files of kept code, as text. Raises `NotFound`."""
        return self._store.code(code_hash).as_text()

    def files_in(self, folder: Path) -> Mapping[str, str]:
        """The files of a folder as they would be kept. Raises `InvalidMethod`."""
        return Code.read(folder).as_text()

    def trainer(self, code: MethodCode) -> CustomTrainer:
        """Kept code as a trainer on this machine."""
        return CustomTrainer(self._store.fetch(code.hash), self._allowance.now())

    # Trying.

    def run_here(
        self, folder: Path, options: Mapping[str, Any], *, backend: Backend, dataset: str, out: Path, progress: Progress
    ) -> TrainingResult:
        """Train with the folder's code in this very process, where a debugger can follow it.

        Whatever it raises goes on to the caller. Nothing of it reaches the catalogue or the log.
        """
        sample = self._with.sample(dataset)
        out.mkdir(parents=True, exist_ok=True)
        job = TrainingJob(
            run_id=uuid4(),
            method="here",
            backend=backend,
            device=self._with.device(backend).name,
            base_model=self._with.small_base(),
            rows=sample.rows,
            held_out=sample.held_out,
            seed=0,
            folder=out.absolute(),
            checkpoints=FolderCheckpoints(out.absolute() / "checkpoints"),
        )
        make_ready(backend)
        module = load(folder.absolute())
        result: TrainingResult = module.train(job, module.Options.model_validate(options), progress)
        return result

    # Checking.

    def check(self, folder: Path, *, backend: Backend, dataset: str, told: Told) -> bool:
        """Try every claim of the contract on the folder's code; whether none is broken."""
        code = Code.read(folder)
        with self._copied(code) as copy:
            kept = self._check({"code": str(copy)}, backend, self._with.sample(dataset), told)
        if kept:
            self._note(code, backend).parent.mkdir(parents=True, exist_ok=True)
            self._note(code, backend).touch()
        return kept

    def was_checked(self, folder: Path, *, backend: Backend) -> bool:
        """Whether this very code was found to keep the contract on this machine, by this version of the check."""
        return self._note(Code.read(folder), backend).exists()

    def _note(self, code: Code, backend: Backend) -> Path:
        version = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(_KIT.glob("*.py")))).hexdigest()[:12]
        return self._notes / f"{code.hash}-{backend}-{version}"

    def check_method(self, spec: MethodSpec, *, backend: Backend, told: Told) -> bool:
        """Try every claim of the contract on a method's code or on its built-in trainer; whether none is broken."""
        if spec.default_dataset is None:
            raise NotFound(f"{spec.internal_name} names no dataset of its own to be tried on.")
        sample = self._with.sample(spec.default_dataset)
        if spec.code is not None:
            return self._check({"code": str(self._store.fetch(spec.code.hash))}, backend, sample, told)
        return self.check_built_in(spec.trainer, backend=backend, sample=sample, told=told)

    def check_built_in(self, trainer: str, *, backend: Backend, sample: Dataset, told: Told) -> bool:
        """Try every claim of the contract on a trainer that comes with the service; whether none is broken."""
        return self._check({"module": self._with.built_in(trainer)}, backend, sample, told)

    def _check(self, what: Mapping[str, str], backend: Backend, sample: Dataset, told: Told) -> bool:
        with tempfile.TemporaryDirectory(prefix="tmm-check-") as folder:
            run = Path(folder).resolve() / "run"
            job = TrainingJob(
                run_id=uuid4(),
                method="check",
                backend=backend,
                device=self._with.device(backend).name,
                base_model=self._with.small_base(),
                rows=sample.rows[:_ROWS_TRIED],
                held_out=sample.held_out[:_ROWS_TRIED],
                seed=1,
                folder=run,
                checkpoints=FolderCheckpoints(run / "checkpoints"),
            )
            run.mkdir()
            within = self._allowance.now(silence_s=_CHECKED_WITHOUT_WORD_S)
            result = in_a_process(
                {"do": "check", "job": facts_of(job), "opening": self._with.opening, **what},
                folder=run,
                limits=within,
                on_message=lambda message: told(_finding(message)),
            )
            return bool(result["broken"] == 0)

    def _declared(self, folder: Path) -> tuple[ConfigurationOption, ...]:
        with tempfile.TemporaryDirectory(prefix="tmm-declare-") as scratch:
            within = self._allowance.now(silence_s=_DECLARED_WITHIN_S)
            told = in_a_process({"do": "declare", "code": str(folder)}, folder=Path(scratch), limits=within)
        return tuple(ConfigurationOption.model_validate(option) for option in told["options"])

    @contextmanager
    def _copied(self, code: Code) -> Iterator[Path]:
        """What is checked is what is kept: a copy of exactly the files that have the hash."""
        folder = Path(tempfile.mkdtemp(prefix="tmm-code-")).resolve()
        try:
            code.write(folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _fresh(folder: Path) -> Iterator[None]:
    """A folder to write into. Raises `InvalidMethod` where there is something already, or nothing can be written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidMethod(f"{folder} is there already, and nothing is overwritten. Name another with --to FOLDER.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InvalidMethod(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}.") from None


def _finding(message: Mapping[str, Any]) -> Finding:
    match message:
        case {"finding": {"claim": str(claim), "verdict": str(verdict), "words": str(words)}}:
            return Finding(claim, verdict, words)
    return Finding("the code keeps to its own", "broken", "it wrote to the pipe that belongs to the service")


def _named(text: str, template: str, name: str, backend: Backend) -> str:
    """A template's text for a method of this name on this backend."""
    for old, new in (
        (f"internal_name: {template}\n", f"internal_name: {name}\n"),
        (f"display_name: {template.capitalize()}\n", f"display_name: {name.capitalize()}\n"),
        ("backends: [cuda]", f"backends: [{backend}]"),
        ("NAME", name),
    ):
        text = text.replace(old, new)
    return text
