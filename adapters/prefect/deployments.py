"""The deployments that Prefect should have: one for each selectable method and backend, and for the service itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from adapters.prefect import forms
from domain.audit.read_models import SelectableMethod
from domain.catalogue.method_spec import Backend
from domain.catalogue.trainer_declaration import Trainers
from domain.runs.flow_runs import Queue

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse


@dataclass(frozen=True)
class OurFlow:
    """A flow of this service: where its code is, and how its deployments are called (a regular expression)."""

    entrypoint: str
    deployed_as: str


_BACKENDS = "|".join(Backend)

OUR_FLOWS = {
    "train": OurFlow("flows.train.train", f"(?P<method>.+)-({_BACKENDS})"),
    "take-part": OurFlow("flows.take_part.take_part", f"take-part-({_BACKENDS})"),
    "add-training-method": OurFlow("flows.manage.add_training_method", "add-training-method"),
    "delete-training-method": OurFlow("flows.manage.delete_training_method", "delete-training-method"),
    "reconcile": OurFlow("flows.reconcile.reconcile", "reconcile"),
    "audit-report": OurFlow("flows.audit.audit_report", "audit-report"),
    "make-checkpoint": OurFlow("flows.audit.make_checkpoint", "make-checkpoint"),
}
"""By their names: all that our workers start."""

_OF_PREFECT = "default"
"""The queue that every pool has; for what people deploy on these pools themselves."""

CATALOGUE_QUEUE = "catalogue"
"""Adding and deleting wait in a queue of their own, never behind a training."""

MANAGEMENT_TAG = "catalogue"

_EVERY = {"reconcile": timedelta(hours=1), "make-checkpoint": timedelta(days=1)}
"""The schedules that these begin with; what people make of them is theirs."""


OPERATORS = frozenset(
    {
        "schedules",
        "paused",
        "work_queue_name",
        "concurrency_limit",
        "concurrency_options",
        "global_concurrency_limit_id",
    }
)
"""What of a deployment is the operator's: how often, when, how many at once and in which queue its runs are started."""

_UNLESS_SAID: dict[str, Any] = {
    "version": None,
    "description": None,
    "tags": [],
    "parameters": {},
    "parameter_openapi_schema": {},
    "enforce_parameter_schema": True,
    "entrypoint": None,
    "path": None,
    "pull_steps": None,
    "storage_document_id": None,
    "infrastructure_document_id": None,
    "job_variables": {},
    "work_pool_name": None,
}
"""Everything else that can be set: what is not said of a deployment is this, and is put back to it."""


_WHATEVER_IS_GIVEN: dict[str, Any] = {"title": "Parameters", "type": "object", "properties": {}}
"""The form of a flow that only this service starts. Prefect ignores an update to an empty one, which would not be put
back."""


@dataclass(frozen=True)
class Wanted:
    """A deployment as it should be, in every field but the operator's.

    Once the deployment is there, its queue is the operator's too: a method whose trainings may always wait can be put
    into `batch`.
    """

    flow: str
    name: str
    queue: str
    said: dict[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        return {**_UNLESS_SAID, "entrypoint": OUR_FLOWS[self.flow].entrypoint, **self.said}

    @property
    def address(self) -> str:
        return f"{self.flow}/{self.name}"

    def differs_from(self, present: "DeploymentResponse") -> bool:
        # An update to nothing comes back as an empty list or mapping.
        changed = any((getattr(present, field) or None) != (value or None) for field, value in self.fields.items())
        return changed or not self._has_a_queue(present)

    def _has_a_queue(self, present: "DeploymentResponse") -> bool:
        # It is also where Prefect puts what has lost its queue.
        is_here = present.work_pool_name == self.fields["work_pool_name"]
        return is_here and present.work_queue_name not in (None, _OF_PREFECT)

    def put_into(self, client: "SyncPrefectClient", flow_id: UUID, present: "DeploymentResponse | None") -> UUID:
        """Make it, or change it in place: its id, its runs and the schedules that people gave it stay. The id."""
        from prefect.client.schemas.actions import DeploymentUpdate
        from prefect.exceptions import ObjectNotFound

        if present is not None:
            # Prefect takes a pool without a queue for the pool's own queue, so it is always named.
            queue = present.work_queue_name if self._has_a_queue(present) else self.queue
            try:
                client.update_deployment(present.id, DeploymentUpdate(**self.fields, work_queue_name=queue))
            except ObjectNotFound:
                pass  # it was deleted this very moment
            else:
                return present.id
        return client.create_deployment(
            flow_id=flow_id,
            name=self.name,
            schedules=self._first_schedules(),
            work_queue_name=self.queue,
            **self.fields,
        )

    def _first_schedules(self) -> Any:
        from prefect.client.schemas.actions import DeploymentScheduleCreate
        from prefect.client.schemas.schedules import IntervalSchedule

        if self.flow not in _EVERY:
            return None
        return [DeploymentScheduleCreate(schedule=IntervalSchedule(interval=_EVERY[self.flow]))]


def of_methods(
    selectable: Sequence[SelectableMethod],
    backends: Sequence[Backend],
    *,
    datasets: list[str],
    base_models: list[str],
) -> Iterator[Wanted]:
    """One deployment for each method and backend, on that backend's pool."""
    for method in selectable:
        for backend in method.spec.backends:
            if backend in backends:
                yield Wanted(
                    "train",
                    forms.deployment_name(method, backend),
                    Queue.INTERACTIVE.value,
                    {
                        "version": str(method.version),
                        "description": forms.description(method, backend),
                        "tags": forms.tags(method, backend),
                        "parameters": forms.default_parameters(method, backend),
                        "parameter_openapi_schema": forms.run_form(
                            method, backend, datasets=datasets, base_models=base_models
                        ),
                        "work_pool_name": backend.value,
                    },
                )


def of_the_catalogue(
    selectable: Sequence[SelectableMethod],
    backends: Sequence[Backend],
    *,
    trainers: Trainers,
    datasets: list[str],
    base_models: list[str],
) -> Iterator[Wanted]:
    """Adding, deleting and reconciling, on the first backend's pool."""
    if not backends:
        return
    names = [method.spec.internal_name for method in selectable]
    described = {
        "add-training-method": (
            forms.add_description(trainers),
            forms.add_form(names, trainers, datasets=datasets, base_models=base_models),
        ),
        "delete-training-method": (
            "Delete a training method. For commercial users only.",
            forms.delete_form(names),
        ),
        "reconcile": (
            "Put right runs that are stuck, and what Prefect shows of the catalogue.",
            forms.empty_form(),
        ),
        "audit-report": (
            "Tell what happened: who did what, when and under which licence, as this run's artifact.",
            forms.report_form(names),
        ),
        "make-checkpoint": (
            "Sign where the audit log stands, and keep that outside the database.",
            forms.empty_form(),
        ),
    }
    for name, (description, form) in described.items():
        yield Wanted(
            name,
            name,
            CATALOGUE_QUEUE,
            {
                "description": description,
                "tags": [MANAGEMENT_TAG],
                "parameter_openapi_schema": form,
                "work_pool_name": backends[0].value,
            },
        )


def of_a_share(backend: Backend) -> Wanted:
    """Taking part in a training of another machine; made when a machine asks for it."""
    return Wanted(
        "take-part",
        f"take-part-{backend}",
        Queue.INTERACTIVE.value,
        {
            "description": "Takes part in a training on several machines; the machine that leads it starts this.",
            "parameter_openapi_schema": _WHATEVER_IS_GIVEN,
            "work_pool_name": backend.value,
        },
    )
