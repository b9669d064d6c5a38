"""The one place that constructs adapters. Everything is made when it is first asked for."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from adapters import trainers
from adapters.custom_code.checked_code import CheckedCode
from adapters.store.tables import LogClock, create_tables, made_ready
from domain.audit.auditing import Auditing
from domain.audit.commands import Commands
from domain.audit.event_log import EventLog
from domain.audit.operating import Operating
from domain.catalogue.catalogue import Catalogue
from domain.catalogue.method_spec import Backend
from domain.catalogue.preinstalled import preinstalled_methods
from domain.clock import Clock
from domain.errors import NotTheOperator, TrainingMethodError
from domain.people.roles import EVERY_ROLE
from domain.people.users import PREFECT, Entitlement, Origin, User
from domain.ports import Device
from domain.runs.run_plan import RunPlan
from domain.runs.training_run import Provenance, RunRequest
from domain.runs.training_runs import TrainingRuns
from domain.training import Checkpoints, Trainer
from infra.acts import Acts
from infra.operating_system_user import operating_system_user
from infra.serving.openness import must_be_ones_own, must_be_the_operators
from infra.serving.prefect_environment import (
    api_url_or_refuse,
    lines_for_programs,
    password_of,
    prefect_environment,
    sign_in_link,
)
from infra.settings import Settings
from infra.store import open_log

if TYPE_CHECKING:
    from adapters.artifacts.artifact_store import Artifacts
    from adapters.artifacts.shared_checkpoints import SharedCheckpoints
    from adapters.custom_code.workshop import Workshop
    from adapters.datasets import Datasets
    from adapters.licences import ActingTokens, InstalledLicences
    from adapters.models import BaseModels
    from adapters.prefect.carrying import PrefectCarrying
    from adapters.prefect.catalogue import PrefectCatalogue
    from adapters.prefect.events import PrefectEvents
    from adapters.prefect.pages import PrefectPages
    from adapters.prefect.pools import PrefectPools
    from adapters.prefect.runs import PrefectRuns
    from adapters.proof.desk import Proof
    from domain.use_cases.health import Check
    from infra.kept_runs import KeptRuns


class Installation:
    """This installation of the service, as one acting user sees it. Use it in a `with`, or call `close`."""

    def __init__(self, settings: Settings, *, flow_run_id: UUID | None = None) -> None:
        self.settings = settings
        self._flow_run_id = flow_run_id

    @classmethod
    def from_environment(cls) -> Self:
        return cls(Settings.from_environment())

    @classmethod
    def for_flow(cls, flow_run_id: UUID) -> Self:
        """The installation as a flow run sees it: the acting user is `prefect`."""
        from infra.serving.logs import hide_secrets_in_logs

        settings = Settings.from_environment()
        hide_secrets_in_logs(settings)
        return cls(settings, flow_run_id=flow_run_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if "log" in self.__dict__:
            self.log.close()

    # Who acts.

    def user(self, *, acting_for: str | None = None) -> User:
        """The operating-system user, or `prefect` in a flow run; never a name that somebody typed.

        `acting_for` is the subject of a token that was verified: a person behind a program.
        """
        name, origin = operating_system_user(), Origin.COMMAND_LINE
        if self._flow_run_id is not None:
            name, origin = acting_for or PREFECT, Origin.FLOW
        return self._user(name, origin, self._flow_run_id)

    def prefect_user(self, flow_run_id: UUID) -> User:
        """Who did what Prefect alone tells of a flow run: nobody knows which person that was, or whether it was one."""
        return self._user(PREFECT, Origin.FLOW, flow_run_id)

    def _user(self, name: str, origin: Origin, flow_run_id: UUID | None) -> User:
        try:
            entitlement = self.licences.entitlement_of(name)
        except NotTheOperator as error:  # whatever looks into the data folder says so too
            entitlement = Entitlement.noncommercial(str(error))
        return User(name=name, entitlement=entitlement, origin=origin, flow_run_id=flow_run_id, roles=EVERY_ROLE)

    @cached_property
    def do(self) -> Acts:
        """Does what people and programs can do here."""
        return Acts(self)

    @cached_property
    def licences(self) -> "InstalledLicences":
        from adapters.licences import InstalledLicences

        must_be_ones_own(self.settings)
        return InstalledLicences(self.settings.licences, self.settings.trust_store, self.clock)

    @cached_property
    def clock(self) -> Clock:
        return LogClock(self.settings, opened=lambda: self.__dict__.get("log"))

    @cached_property
    def acting_tokens(self) -> "ActingTokens":
        from adapters.licences import ActingTokens

        return ActingTokens(self.settings.acting_keys, self.clock)

    def issue_token(self, key: Path, *, person: str, action: str, given: Mapping[str, Any], minutes: int) -> str:
        """A token with which a program may do this for this person."""
        from infra.acting_for import issue_token

        return issue_token(self, key, person=person, action=action, given=given, minutes=minutes)

    # The log, and what is recorded and asked there.

    @cached_property
    def log(self) -> EventLog:
        """The event log. The embedded store makes itself ready; PostgreSQL wants `tmm migrate` first.

        Raises `DatabaseUnavailable`, and `Refused` or `InvalidInput` where the installation is not this user's.
        """
        must_be_the_operators(self.settings)
        made = made_ready(self.settings)
        log = open_log(self.settings)
        if made:
            self._catalogue_on(log).preinstall(preinstalled_methods(self.settings.backends))
        return log

    @cached_property
    def catalogue(self) -> Catalogue:
        return self._catalogue_on(self.log)

    def _catalogue_on(self, log: EventLog) -> Catalogue:
        declared = trainers.declarations()
        runs = TrainingRuns(log, trainers=declared)
        return Catalogue(
            log, trainers=declared, code=CheckedCode(self.settings.artifacts, self.settings.code_cache), runs=runs
        )

    @cached_property
    def trainings(self) -> TrainingRuns:
        return TrainingRuns(self.log, trainers=trainers.declarations())

    @cached_property
    def commands(self) -> Commands:
        return Commands(self.log)

    @cached_property
    def auditing(self) -> Auditing:
        return Auditing(self.log)

    @cached_property
    def operating(self) -> Operating:
        return Operating(self.log)

    @cached_property
    def proof(self) -> "Proof":
        from adapters.proof.desk import Proof
        from domain.audit.verified_log import VerifiedLog
        from infra.verifying import VerifyingBeside

        return Proof(
            self.log,
            VerifiedLog(self.log),
            checkpoints=self.settings.checkpoints,
            key_folder=self.settings.checkpoint_key,
            beside=VerifyingBeside(self.settings),
        )

    def migrate(self) -> list[str]:
        """Create the tables once and install this environment's preinstalled methods; names of the new ones."""
        create_tables(self.settings)
        return self.preinstall()

    def preinstall(self) -> list[str]:
        """Install this environment's preinstalled methods in a store that is ready; names of the new ones."""
        return self.catalogue.preinstall(preinstalled_methods(self.settings.backends))

    def explain(self, error: Exception) -> TrainingMethodError | None:
        """An outside thing's error in our words, or None if it is none of theirs."""
        from infra.explaining import explain

        return explain(error, self.settings)

    def shown(self, text: str) -> str:
        """A text as it may be shown and kept: without the secrets of this installation's addresses."""
        from infra.explaining import shown

        return shown(text, self.settings)

    # Prefect.

    @cached_property
    def flow_runs(self) -> "PrefectRuns":
        from adapters.prefect.runs import PrefectRuns

        return PrefectRuns(self._prefect())

    @cached_property
    def pools(self) -> "PrefectPools":
        from adapters.prefect.pools import PrefectPools

        return PrefectPools(self._prefect())

    @cached_property
    def flow_run_states(self) -> "PrefectCarrying":
        from adapters.prefect.carrying import PrefectCarrying

        return PrefectCarrying(self._prefect())

    @cached_property
    def prefect_events(self) -> "PrefectEvents":
        from adapters.prefect.events import PrefectEvents

        return PrefectEvents(self._prefect())

    @cached_property
    def prefect_pages(self) -> "PrefectPages":
        from adapters.prefect.pages import PrefectPages

        return PrefectPages(self._prefect())

    @cached_property
    def published(self) -> "PrefectCatalogue":
        from adapters.prefect.catalogue import PrefectCatalogue

        return PrefectCatalogue(
            self._prefect(),
            datasets=self.datasets.names,
            base_models=self.base_models.names,
            trainers=trainers.declarations(),
        )

    def update_prefect(self) -> str | None:
        """Let the Prefect catalogue follow the selectable list; a warning when it cannot follow now."""
        from infra.publishing import update_prefect

        return update_prefect(self)

    def show_catalogue(self) -> list[str]:
        """Make Prefect show the selectable list; a sentence about each change. Raises `PrefectUnavailable`."""
        from infra.publishing import show_catalogue

        return show_catalogue(self)

    def fix(self) -> list[str]:
        """Put right runs that are stuck, and what Prefect shows; a sentence about each. Raises `PrefectUnavailable`."""
        from infra.publishing import fix

        return fix(self)

    def _prefect(self) -> str:
        """The server's address; from here on this process's Prefect client is our own, whatever profile there is."""
        from adapters.prefect.client import opens

        api_url = api_url_or_refuse(self.settings)
        # Without the address: a process that outlives this server would look for it there for ever.
        os.environ.update(prefect_environment(self.settings))
        opens(api_url, password_of(self.settings, api_url))
        return api_url

    def lines_for_programs(self) -> list[str]:
        """Lines for a shell, with which any program reaches the Prefect server."""
        return lines_for_programs(self.settings)

    def sign_in_link(self) -> str:
        """An address that signs a browser in to the Prefect UI, once and within ten minutes."""
        return sign_in_link(self.settings)

    def up(self, backends: Sequence[Backend], *, with_workers: bool) -> None:
        """Prefect server and workers until interrupted."""
        from infra.serving.serving import serve

        serve(self, backends, with_workers=with_workers)

    def worker(self, backend: Backend) -> None:
        """One worker until interrupted."""
        from infra.serving.serving import work

        work(self, backend)

    def demo(self, method: str, *, keep: bool) -> None:
        """Everything from nothing to a trained model."""
        from infra.serving.demonstration import demonstrate

        demonstrate(self, method, keep=keep)

    # What operators ask.

    def describe_settings(self) -> list[tuple[str, str, str]]:
        """Every setting: variable, present value (passwords hidden), what it is."""
        from infra.doctor import describe_settings

        return describe_settings(self.settings)

    def checks(self) -> "list[Check]":
        """What `tmm doctor` looks at."""
        from infra.doctor import checks

        return checks(self)

    # Training.

    def checked(self, request: RunRequest) -> RunRequest:
        """The request as any worker of this machine can read it. Raises `InvalidInput` for what cannot be."""
        from infra.preparing import checked

        return checked(self, request)

    def plan(self, request: RunRequest) -> RunPlan:
        """What a run of this request would do and take. Raises the error that says why it cannot go well."""
        from infra.preparing import planned

        return planned(self, request)

    def note_waiting(self, run_id: UUID) -> None:
        """Record the request of a run that waits in Prefect, if it is one of ours that nobody has recorded yet."""
        from infra.waiting_runs import note

        for waiting in self.flow_run_states.waiting(run_id):
            note(self, waiting)

    def end_process(self, run_id: UUID) -> bool:
        """End the process that carries a run on this machine; False where there is none."""
        from adapters.machines.run_process import carrier_of

        carrier = carrier_of(self.settings.runs / str(run_id))
        if carrier is None or not carrier.lives:
            return False
        carrier.end()
        return True

    def made_of(self, request: RunRequest) -> Provenance:
        """What a run of this request would be made of here and now, but for device and machine, which are empty."""
        from infra.preparing import made_of

        return made_of(self, request)

    def trainer(self, run_id: UUID) -> Trainer:
        """The training code of a run: that of its method as it was when the run started."""
        spec = self.trainings.method_of(run_id)
        return self.workshop.trainer(spec.code) if spec.code is not None else trainers.load(spec.trainer)

    @cached_property
    def workshop(self) -> "Workshop":
        """Where methods' own code is made, checked and kept."""
        from adapters.custom_code.allowance import Allowance
        from adapters.custom_code.code_store import CodeStore
        from adapters.custom_code.workshop import Workshop
        from infra.trying import TriedWith

        settings = self.settings
        silence_s = settings.custom_silence_minutes * 60
        return Workshop(
            CodeStore(settings.artifacts, settings.code_cache, shared=settings.shares_artifacts),
            templates=settings.templates,
            notes=settings.code_cache / "checked",
            allowance=Allowance(settings.home, settings.custom_memory_gb, silence_s),
            tried_with=TriedWith(self.datasets, self.base_models),
        )

    def trainers_code_hash(self) -> str:
        return trainers.code_hash()

    def device(self, backend: Backend) -> Device:
        from adapters.machines.devices import device_for

        return device_for(backend)

    def run_folder(self, run_id: UUID) -> Path:
        """The run's own folder on this machine; made when there is none."""
        folder = self.settings.runs / str(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def checkpoints(self, run_id: UUID) -> Checkpoints:
        from adapters.shared.training.checkpoints import FolderCheckpoints

        return FolderCheckpoints(self.run_folder(run_id) / "checkpoints")

    @cached_property
    def shared_checkpoints(self) -> "SharedCheckpoints | None":
        """Where machines give checkpoints to one another; None where each keeps its own."""
        if not (address := self.settings.shared_checkpoints):
            return None
        from adapters.artifacts.artifact_store import Artifacts
        from adapters.artifacts.shared_checkpoints import SharedCheckpoints

        return SharedCheckpoints(Artifacts(address, shared=True))

    @cached_property
    def kept_runs(self) -> "KeptRuns":
        from infra.kept_runs import KeptRuns

        return KeptRuns(self.settings.runs, lambda: self.artifacts)

    @cached_property
    def artifacts(self) -> "Artifacts":
        from adapters.artifacts.artifact_store import Artifacts

        return Artifacts(self.settings.artifacts, shared=self.settings.shares_artifacts)

    @cached_property
    def datasets(self) -> "Datasets":
        from adapters.datasets import Datasets

        return Datasets(self.settings.samples, self.settings.datasets)

    @cached_property
    def base_models(self) -> "BaseModels":
        from adapters.models import BaseModels, Tried

        return BaseModels(self.settings.samples, self.settings.base_models, Tried(self.settings.tried))
