"""A run's own event stream: how it stands, drawn on the server, within a second of each step."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from adapters.web.page import Here, PageRoute
from adapters.web.pages.runs import run_id_of
from adapters.web.rendering import rendered
from adapters.web.run_view import RunView
from adapters.web.watching import Watching
from domain.use_cases.runs import ShowRun

router = APIRouter(route_class=PageRoute)

_RECONNECT_MS = 1000


@router.get("/runs/{run}/live")
async def live(page: Here, request: Request, run: str) -> StreamingResponse:
    """Server-sent events: `stands` with the part of the page that moves, and `ended`."""
    run_id = run_id_of(run)

    def look() -> str:
        view = RunView(page.do(ShowRun(run_id=run_id, in_full=False)))
        return rendered("_live.html", view=view) if view.under_way else ""

    await run_in_threadpool(look)  # of a run that is none, it is said so
    watching = _watching(request)

    async def events() -> AsyncIterator[str]:
        yield f"retry: {_RECONNECT_MS}\n\n"
        async for seen in watching.looks(run_id, look, gone=request.is_disconnected):
            match seen:
                case None:
                    yield ": still there\n\n"
                case "":
                    yield _event("ended", run)
                case _:
                    yield _event("stands", seen)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)


def _watching(request: Request) -> Watching:
    """The app's watchers: made when somebody first looks."""
    state = request.app.state
    if not hasattr(state, "watching"):
        state.watching = Watching()
    watching: Watching = state.watching
    return watching


def _event(name: str, data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return f"event: {name}\n{lines}\n"
