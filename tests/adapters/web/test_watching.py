"""One watcher a run, whoever and however many look."""

import asyncio
from uuid import uuid4

import pytest

from adapters.web import watching
from adapters.web.watching import Watching


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.01)


async def _stays() -> bool:
    return False


async def _seen(all_of_them: Watching, look: watching.Look) -> list[str]:
    run_id = _RUN
    return [one async for one in all_of_them.looks(run_id, look, gone=_stays) if one is not None]


_RUN = uuid4()


def test_twenty_who_look_cost_as_many_looks_as_one() -> None:
    looks = 0

    def look() -> str:
        nonlocal looks
        looks += 1
        return f"step {looks // 10}" if looks < 50 else ""

    async def twenty() -> list[list[str]]:
        all_of_them = Watching()
        return await asyncio.gather(*(_seen(all_of_them, look) for _ in range(20)))

    seen = asyncio.run(twenty())
    assert looks == 50
    assert all((one[0], one[-2], one[-1]) == ("step 0", "step 4", "") for one in seen)


def test_whoever_comes_later_begins_with_how_it_stands() -> None:
    ending = False

    async def story() -> list[str]:
        nonlocal ending
        all_of_them = Watching()

        def look() -> str:
            return "" if ending else "stands"

        first = all_of_them.looks(_RUN, look, gone=_stays)
        assert await anext(first) == "stands"
        second = all_of_them.looks(_RUN, look, gone=_stays)
        assert await anext(second) == "stands"
        ending = True
        return [one async for one in first if one is not None] + [one async for one in second if one is not None]

    assert asyncio.run(story()) == ["", ""]


def test_nobody_looks_any_more_so_nothing_is_watched() -> None:
    async def story() -> bool:
        all_of_them = Watching()
        looking = all_of_them.looks(_RUN, lambda: "stands", gone=_stays)
        await anext(looking)
        [watched] = all_of_them._watched.values()
        await looking.aclose()  # type: ignore[attr-defined]  # it is a generator
        await asyncio.gather(watched.task, return_exceptions=True)
        return watched.task.cancelled() and not all_of_them._watched

    assert asyncio.run(story())


def test_a_look_that_fails_stops_the_stream_and_says_no_end(caplog: pytest.LogCaptureFixture) -> None:
    def look() -> str:
        raise RuntimeError("the database is away")

    assert asyncio.run(_seen(Watching(), look)) == []
    assert "could not be looked at" in caplog.text
