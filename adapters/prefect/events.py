"""What happened here, as Prefect events: automations act on them."""

from collections.abc import Sequence

from adapters.prefect.client import prefect_client
from domain.events import DomainEvent
from domain.runs.training_run import TrainingRun

RESOURCE = "prefect.resource.id"


class PrefectEvents:
    """Tells Prefect of our events, under their own names: `training-method.added`, `training-run.completed`, …"""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url

    def emit(self, events: Sequence[DomainEvent]) -> None:
        """Emit them in their order. The same event again is the same to Prefect. Raises `PrefectUnavailable`."""
        with prefect_client(self._api_url) as client:
            client.request("POST", "/events", json=[_told(event) for event in events])


def _told(event: DomainEvent) -> dict[str, object]:
    from uuid import uuid5

    facts = event.model_dump(mode="json", exclude={"by"})
    subject = facts.get("internal_name") or facts.get("method") or facts.get("spec", {}).get("internal_name") or ""
    kind = event.TOPIC.split(".", maxsplit=1)[0]
    resource = {
        RESOURCE: f"{kind}.{event.originator_id}",
        "prefect.resource.name": str(subject),
        "method": str(subject),
    }
    related = []
    if isinstance(event, TrainingRun.Requested | TrainingRun.Event):
        # The flow run has the run's id; so the event stands on its page too.
        related = [{RESOURCE: f"prefect.flow-run.{event.originator_id}", "prefect.resource.role": "flow-run"}]
    return {
        "id": str(uuid5(event.originator_id, str(event.originator_version))),
        "occurred": event.timestamp.isoformat(),
        "event": event.TOPIC,
        "resource": resource,
        "related": related,
        "payload": facts | {"actor": event.by.name, "edition": event.by.entitlement.edition.value},
    }
