"""The training run: its events, and what may follow what."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from eventsourcing.domain import event
from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from domain.bounded import bounded, shown
from domain.catalogue.method_spec import Backend, MethodSpec
from domain.catalogue.options import OPTIONS_AT_MOST, OptionValue, too_large
from domain.errors import (
    InvalidRunRequest,
    MethodNotFound,
    NothingToMeasure,
    Remedy,
    RunAlreadyFinished,
    RunRequestChanged,
)
from domain.events import Aggregate, Created
from domain.people.users import Origin, User
from domain.secrets import holds_secret, shown_address, without_secrets
from domain.values import Value, in_words, must_be_storable_texts

LARGEST_REQUEST = 40_000
"""Bytes of a request as JSON."""


class RunStatus(StrEnum):
    """Where a run stands."""

    REQUESTED = "requested"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunRequest(Value):
    """What was asked for: a method by its internal name, on a backend, with a base model, a dataset and options.

    `base_model` and `dataset` are a sample's name, a local folder or file, or a hub id. `options` are as given,
    before defaults. `output_name` names the artefact for people. `columns` says which columns of the dataset are meant,
    as in `prompt=question, completion=answer`; empty where they have the usual names. `measure` is False where base
    model and result are not to be measured; yes is None, as in requests from before there was this choice.
    """

    method: str
    backend: Backend
    base_model: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    dataset: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    options: dict[str, OptionValue] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, lt=2**31)
    output_name: Annotated[str, StringConstraints(max_length=80)] = ""
    columns: Annotated[str, StringConstraints(max_length=400)] = ""
    measure: Annotated[bool | None, AfterValidator(lambda wanted: None if wanted else wanted)] = None

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """A request from untrusted fields. Raises `InvalidRunRequest` naming every field that breaks its rule."""
        try:
            request = cls.model_validate(dict(fields))
        except ValidationError as error:
            raise InvalidRunRequest(
                in_words(error, what="a training run", fields=cls.model_fields, hints=_HINTS)
            ) from None
        request.must_keep_limits()
        return request

    def must_keep_limits(self) -> None:
        """Raise `InvalidRunRequest` if this is more than the event log takes, or `MethodNotFound`.

        No validator's rule: what was stored before there were limits stays readable.
        """
        if not MethodSpec.is_a_name(self.method):
            raise MethodNotFound(self.method)
        if len(self.options) > OPTIONS_AT_MOST:
            raise InvalidRunRequest(f"options: at most {OPTIONS_AT_MOST} are taken, not {len(self.options):,}.")
        for name, value in self.options.items():
            if (problem := too_large(name) or too_large(value)) is not None:
                raise InvalidRunRequest(f"options: option {shown(name)} {problem}.")
        try:
            must_be_storable_texts(self.model_dump(mode="json"))
        except ValueError as error:
            raise InvalidRunRequest(str(error)) from None
        if (size := len(self.model_dump_json().encode())) > LARGEST_REQUEST:
            raise InvalidRunRequest(
                f"options: the request has {size:,} bytes in all, and at most {LARGEST_REQUEST:,} are taken."
            )


_HINTS = {
    "backend": "must be cuda or mlx",
    "base_model": "must be a sample's name, a local folder or a hub id",
    "dataset": "must be a sample's name, a local file or folder, or a hub id",
    "seed": "must be a whole number from 0 to 2147483647",
    "output_name": "must have at most 80 characters",
    "measure": "must be true or false",
    "columns": "must be text of at most 400 characters, such as: prompt=question, completion=answer",
}


class Provenance(Value):
    """What a run is made of, so that it can be repeated from the log alone.

    Hashes are sha256 in hexadecimal; `packages` are the installed versions of what trains; `code_hash` covers the
    trainer's source.
    """

    base_model_hash: str
    dataset_hash: str
    held_out_hash: str
    code_hash: str
    packages: dict[str, str]
    python: str
    device: str
    machine: str


class TrainingRun(Aggregate):
    """One training of one method, from its request to its end. Its id is the Prefect flow run's id."""

    TOPIC: ClassVar[str] = "training-run"

    class Event(Aggregate.Event):
        method: str

    class Requested(Created):
        """Somebody asked for a training."""

        TOPIC: ClassVar[str] = "training-run.requested"
        method: str
        request: RunRequest

    class Started(Event):
        """A worker began it, with this version of its method, these options, and made of this."""

        TOPIC: ClassVar[str] = "training-run.started"
        method_version: int
        options: dict[str, OptionValue]
        provenance: Provenance

    class Resumed(Event):
        """An interrupted training goes on from the checkpoint of this step."""

        TOPIC: ClassVar[str] = "training-run.resumed"
        step: int

    class Completed(Event):
        """`artifact_hash` covers every file of the artefact, `weights_hash` (sha256) the weights alone.

        `measured` is false where the weights were stored and measuring them failed or was not wished: `after` is empty
        then, and `Measured` may follow.
        """

        TOPIC: ClassVar[str] = "training-run.completed"
        artifact: str
        artifact_hash: str
        steps: int
        metrics: dict[str, float]
        before: dict[str, float]
        after: dict[str, float]
        weights_hash: str | None = None
        measured: bool = True

    class Measured(Event):
        """What a completed run had not been measured at: the same evaluation of the base model and of the result."""

        TOPIC: ClassVar[str] = "training-run.measured"
        before: dict[str, float]
        after: dict[str, float]

    class Failed(Event):
        """`interrupted` when nothing was wrong with the training: its process, machine or network went away."""

        TOPIC: ClassVar[str] = "training-run.failed"
        reason: str
        interrupted: bool = False

    class Cancelled(Event):
        """A training was given up, and why."""

        TOPIC: ClassVar[str] = "training-run.cancelled"
        reason: str

    @event(Requested)
    def __init__(self, request: RunRequest, by: User) -> None:
        self.request = request
        self.asker = by
        self.status = RunStatus.REQUESTED
        self.interrupted = False
        self.measured = False
        self.reason = ""

    # Decisions.

    @classmethod
    def ask_for(cls, run_id: UUID, request: RunRequest, *, by: User, command_id: UUID) -> Self:
        request.must_keep_limits()
        for field, value in request.model_dump(mode="json").items():
            if holds_secret(value):
                raise InvalidRunRequest(
                    f"{field}: holds a password, token or key, which the log would keep for ever. "
                    "Give it through the environment instead."
                )
        return cls._create(
            cls.Requested, id=run_id, method=request.method, request=request, by=by, command_id=command_id
        )

    def must_be_asked_for_as(self, request: RunRequest) -> None:
        """Raise `RunRequestChanged` if this run was requested otherwise: its parameters were changed since."""
        if changed := [f for f in RunRequest.model_fields if getattr(request, f) != getattr(self.request, f)]:
            raise RunRequestChanged(
                f"The {', '.join(changed)} of training run {self.id} changed after it was requested, so it does not "
                "run. Start a new run with what you want."
            )

    def start(
        self,
        *,
        method_version: int,
        options: dict[str, OptionValue],
        provenance: Provenance,
        command_id: UUID,
    ) -> None:
        if self.status is RunStatus.RUNNING:
            raise RunAlreadyFinished(f"Training run {self.id} was started before and did not come to its end.").but(
                Remedy("Repeat it as a new run", "RerunRun", {"run": str(self.id)})
            )
        self._must_not_be_finished(to="started")
        self._happen(
            self.Started,
            self.carried_for,
            command_id,
            method_version=method_version,
            options=options,
            provenance=provenance,
        )

    def resume(self, *, step: int, command_id: UUID) -> None:
        """An interrupted run goes on from the checkpoint of this step. Any other failure stays one."""
        if not self.interrupted:
            self._must_not_be_finished(to="resumed")
        self._happen(self.Resumed, self.carried_for, command_id, step=step)

    def complete(
        self,
        *,
        artifact: str,
        artifact_hash: str,
        steps: int,
        metrics: dict[str, float],
        before: dict[str, float],
        after: dict[str, float],
        weights_hash: str | None,
        measured: bool,
        command_id: UUID,
    ) -> None:
        self._must_not_be_finished(to="completed")
        self._happen(
            self.Completed,
            self.carried_for,
            command_id,
            artifact=shown_address(artifact),
            artifact_hash=artifact_hash,
            steps=steps,
            metrics=metrics,
            before=before,
            after=after,
            weights_hash=weights_hash,
            measured=measured,
        )

    def must_lack_measures(self) -> None:
        """Raise `NothingToMeasure` unless this run has completed without being measured."""
        if self.status is not RunStatus.COMPLETED:
            raise NothingToMeasure(
                f"Training run {self.id} {_stands(self.status)}, so there is nothing to measure."
            ).but(Remedy("See it", "ShowRun", {"run": str(self.id)}))
        if self.measured:
            raise NothingToMeasure(f"Training run {self.id} was measured.").but(
                Remedy("See it", "ShowRun", {"run": str(self.id)})
            )

    def measure(self, *, before: dict[str, float], after: dict[str, float], by: User, command_id: UUID) -> None:
        """A completed run that was stored without being measured has been measured."""
        self.must_lack_measures()
        self._happen(self.Measured, by, command_id, before=before, after=after)

    def fail(self, reason: str, *, interrupted: bool = False, command_id: UUID) -> None:
        self._must_not_be_finished(to="failed")
        reason = bounded(reason, clean=without_secrets)
        self._happen(self.Failed, self.carried_for, command_id, reason=reason, interrupted=interrupted)

    def cancel(self, reason: str, *, by: User, command_id: UUID) -> None:
        """A run is given up. One that was interrupted may be too, and then does not go on any more."""
        if not self.interrupted:
            self._must_not_be_finished(to="cancelled")
        self._happen(self.Cancelled, by, command_id, reason=bounded(reason, clean=without_secrets))

    @property
    def carried_for(self) -> User:
        """Who asked for this run, entitled as they were then, in the flow run that carries it."""
        return self.asker.model_copy(update={"origin": Origin.FLOW, "flow_run_id": self.id})

    def _happen(self, what: type[Event], by: User, command_id: UUID, **facts: Any) -> None:
        self.trigger_event(what, method=self.request.method, by=by, command_id=command_id, **facts)

    def _must_not_be_finished(self, *, to: str) -> None:
        if self.finished:
            raise RunAlreadyFinished(f"Training run {self.id} {_stands(self.status)}, so it cannot be {to}.").but(
                Remedy("Repeat it", "RerunRun", {"run": str(self.id)})
            )

    @property
    def finished(self) -> bool:
        return self.status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)

    # What is remembered.

    @event(Started)
    def _started(self) -> None:
        self.status = RunStatus.RUNNING

    @event(Resumed)
    def _resumed(self) -> None:
        self.status = RunStatus.RUNNING
        self.interrupted = False

    @event(Completed)
    def _completed(self, measured: bool) -> None:
        self.status = RunStatus.COMPLETED
        self.measured = measured

    @event(Measured)
    def _measured(self) -> None:
        self.measured = True

    @event(Failed)
    def _failed(self, reason: str, interrupted: bool) -> None:
        self.status = RunStatus.FAILED
        self.interrupted = interrupted
        self.reason = reason

    @event(Cancelled)
    def _cancelled(self, reason: str) -> None:
        self.status = RunStatus.CANCELLED
        self.interrupted = False
        self.reason = reason


def _stands(status: RunStatus) -> str:
    match status:
        case RunStatus.REQUESTED | RunStatus.RUNNING:
            return "has not come to its end yet"
        case RunStatus.CANCELLED:
            return "has been cancelled"
    return f"has {status}"
