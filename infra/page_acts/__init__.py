"""The acts of the page over today's services: one adapter, until the use cases carry the acts out themselves."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from domain.errors import TrainingMethodError
from domain.people.users import User
from domain.use_cases.act import Act
from infra.page_acts import auditing, data, licences, methods, results, trainings
from infra.wiring import Installation

R = TypeVar("R")

Handler = Callable[..., Any]

HANDLERS: Mapping[type, Handler] = {
    **methods.HANDLERS,
    **trainings.HANDLERS,
    **results.HANDLERS,
    **auditing.HANDLERS,
    **data.HANDLERS,
    **licences.HANDLERS,
}


class PageActs:
    """Does the acts that the page knows. One for all requests: what it is built on takes many threads."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        _ = installation.service  # made by one thread, before several ask for it

    def __call__(self, act: Act[R], *, by: User, command_id: UUID | None = None) -> R:
        """Do it for this person. Raises `TrainingMethodError`, an outside thing's errors in our words."""
        try:
            done: R = HANDLERS[type(act)](self._installation, act, by)
        except TrainingMethodError:
            raise
        except Exception as error:
            if (explained := self._installation.explain(error)) is None:
                raise
            raise explained from error
        return done
