"""The acts on work pools: look at them, pause them, and let them be taken from again."""

from collections.abc import Sequence
from typing import ClassVar, Protocol
from uuid import UUID

from domain.catalogue.method_spec import Backend
from domain.people.roles import Role
from domain.people.users import User
from domain.ports import WorkPool
from domain.use_cases.act import Act, Needs


class ListPools(Act[Sequence[WorkPool]]):
    """The work pools with their queues. Raises `PrefectUnavailable`."""


class PausePool(Act[None]):
    """Let no further run be taken from a pool, or one of its queues. Raises `PrefectUnavailable`, `NotFound`."""

    needs: ClassVar = Needs(Role.OPERATOR, "pause a pool", "pause-pool", "pool")

    pool: Backend
    queue: str | None = None


class ResumePool(Act[None]):
    """Let runs be taken from a pool, or one of its queues, again. Raises `PrefectUnavailable`, `NotFound`."""

    needs: ClassVar = Needs(Role.OPERATOR, "resume a pool", "resume-pool", "pool")

    pool: Backend
    queue: str | None = None


class WorkPools(Protocol):
    """The work pools of the backends. Every method raises `PrefectUnavailable` when no server answers."""

    def all(self) -> Sequence[WorkPool]: ...

    def pause(self, backend: Backend, queue: str | None = None, *, paused: bool = True) -> None:
        """Let no further run be taken from a pool, or one of its queues; or let them be again. Raises `NotFound`."""
        ...


class Pools:
    """Does the acts on work pools."""

    def __init__(self, pools: WorkPools) -> None:
        self._pools = pools

    def all(self, _: ListPools, __: User, ___: UUID | None = None) -> Sequence[WorkPool]:
        """The work pools with their queues."""
        return self._pools.all()

    def pause(self, act: PausePool, _: User, __: UUID | None = None) -> None:
        """Let no further run be taken."""
        self._pools.pause(act.pool, act.queue)

    def resume(self, act: ResumePool, _: User, __: UUID | None = None) -> None:
        """Let runs be taken again."""
        self._pools.pause(act.pool, act.queue, paused=False)
