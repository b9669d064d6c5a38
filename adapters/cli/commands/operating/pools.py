"""`tmm pools`: the work pools with their queues, paused and resumed."""

from dataclasses import asdict

import click

from adapters.cli.context import Context
from adapters.cli.output import as_json, remark, say, table
from adapters.cli.parameters import BACKEND, json_option
from domain.catalogue.method_spec import Backend
from domain.use_cases.operators.pools import ListPools, PausePool, ResumePool

_queue_option = click.option("--queue", metavar="NAME", help="Only this queue of the pool.")


@click.group(invoke_without_command=True, short_help="Show the work pools and their queues; pause and resume them.")
@json_option
@click.pass_context
def pools(ctx: click.Context, json_wanted: bool) -> None:
    """Show the work pools and their queues, in the order in which workers serve them; pause and resume them.

    A worker takes one training at a time, and has one GPU for itself. `interactive` goes before `batch`.
    """
    if ctx.invoked_subcommand is not None:
        return
    tmm: Context = ctx.obj
    found = tmm.do(ListPools(), by=tmm.user())
    if json_wanted:
        as_json([asdict(pool) for pool in found])
        return
    if not found:
        remark("There are no pools yet. Make them with: tmm up")
        return
    table(
        ("POOL", "WORKERS", "QUEUE", "WAITING", "RUNNING", "STATE"),
        [
            (
                pool.name,
                pool.workers,
                queue.name,
                queue.waiting,
                queue.running,
                "pool paused" if pool.paused else "paused" if queue.paused else "open",
            )
            for pool in found
            for queue in pool.queues
        ],
    )


@pools.command(short_help="Let no further run be taken from a pool.")
@click.argument("pool", type=BACKEND, help="The pool: a backend's name.")
@_queue_option
@click.pass_obj
def pause(tmm: Context, pool: Backend, queue: str | None) -> None:
    """Let no further run be taken from a pool, or from one of its queues. What runs goes on; what comes waits."""
    tmm.do(PausePool(pool=pool, queue=queue), by=tmm.user())
    say(f"{named(pool, queue)} is paused. Let runs be taken again with: {to_resume(pool, queue)}")


@pools.command(short_help="Let runs be taken from a pool again.")
@click.argument("pool", type=BACKEND, help="The pool: a backend's name.")
@_queue_option
@click.pass_obj
def resume(tmm: Context, pool: Backend, queue: str | None) -> None:
    """Let runs be taken from a pool, or from one of its queues, again."""
    tmm.do(ResumePool(pool=pool, queue=queue), by=tmm.user())
    say(f"{named(pool, queue)} is open: what waits is taken in its turn.")


def named(pool: Backend, queue: str | None) -> str:
    """A pool, or a queue of it, at the beginning of a sentence."""
    return f"The queue {queue} of the {pool} pool" if queue else f"The {pool} pool"


def to_resume(pool: Backend, queue: str | None) -> str:
    """The command that opens a pool, or a queue of it, again."""
    return f"tmm pools resume {pool}" + (f" --queue {queue}" if queue else "")
