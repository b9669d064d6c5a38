"""The one place that constructs adapters. Everything is made when it is first asked for."""

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self
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
from domain.people.roles import EVERY_ROLE, Role
from domain.people.users import PREFECT, Entitlement, Origin, User
from domain.ports import Device
from domain.runs.training_runs import TrainingRuns
from domain.training import Checkpoints, Trainer
from infra.operating_system_user import operating_system_user
from infra.protection.openness import must_be_ones_own, must_be_the_operators
from infra.serving.prefect_environment import (
    api_url_or_refuse,
    password_of,
    prefect_environment,
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
    from infra.trainings.kept_runs import KeptRuns


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
        from infra.protection.logs import hide_secrets_in_logs

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

    def person(self, name: str, roles: frozenset[Role]) -> User:
        """Somebody who is signed in at the page, with the edition of this moment."""
        return self._user(name, Origin.WEB, None).model_copy(update={"roles": roles})

    def _user(self, name: str, origin: Origin, flow_run_id: UUID | None) -> User:
        try:
            entitlement = self.licences.entitlement_of(name)
        except NotTheOperator as error:  # whatever looks into the data folder says so too
            entitlement = Entitlement.noncommercial(str(error))
        return User(name=name, entitlement=entitlement, origin=origin, flow_run_id=flow_run_id, roles=EVERY_ROLE)

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
        from domain.audit.proving.verified_log import VerifiedLog
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

    def _prefect(self) -> str:
        """The server's address; from here on this process's Prefect client is our own, whatever profile there is."""
        from adapters.prefect.client import opens

        api_url = api_url_or_refuse(self.settings)
        # Without the address: a process that outlives this server would look for it there for ever.
        os.environ.update(prefect_environment(self.settings))
        opens(api_url, password_of(self.settings, api_url))
        return api_url

    # What operators ask.

    # Training.

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
        from infra.trainings.kept_runs import KeptRuns

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
