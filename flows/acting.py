"""How a flow acts: as the user `prefect`, with the flow run's id, on this machine's installation; and how it ends."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec
from uuid import UUID

from prefect import get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Failed

from adapters.shared.showing.remedies import with_remedies
from domain.errors import TrainingMethodError
from infra.service import Service

P = ParamSpec("P")


def this_run() -> UUID:
    """The id of the flow run under way."""
    return UUID(flow_run.id)


def this_attempt() -> int:
    """How often a process has begun to carry the flow run under way, this one included."""
    return int(flow_run.run_count)


def installation_of_this_run() -> Service:
    """The installation of this worker, acting for the flow run under way."""
    return Service.for_flow(this_run())


def ending_in_words(body: Callable[P, State[Any] | None]) -> Callable[P, State[Any] | None]:
    """What our rules refuse ends the flow run as Failed with the sentence that says why, without a traceback."""

    @wraps(body)
    def told(*args: P.args, **kwargs: P.kwargs) -> State[Any] | None:
        try:
            return body(*args, **kwargs)
        except TrainingMethodError as error:
            words = with_remedies(error)
            get_run_logger().error(words)
            return Failed(message=words)

    return told
