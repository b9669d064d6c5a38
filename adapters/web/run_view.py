"""A run as pages show it: its figures, its curves, and what can be done with it."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from adapters.shared.training.curve import curve_svg, curves_svg
from domain.runs.training_run import RunStatus
from domain.use_cases.runs import ShownRun

Steps = Sequence[Mapping[str, float]]

_FIRST = ("reward", "loss")
_STEPS_DRAWN = 3000
_NO_MEASURE = ("step", "total", "at")


class RunView:
    """What a template asks about a run."""

    def __init__(self, shown: ShownRun) -> None:
        self.shown = shown
        self.run = shown.run
        self.id = str(shown.run.run_id)

    @property
    def under_way(self) -> bool:
        return self.run.finished_at is None

    @property
    def share(self) -> float | None:
        """What is done, from 0 to 1; None while nothing is known of it."""
        if self.run.status is RunStatus.COMPLETED:
            return 1.0
        if self.shown.progress is not None:
            return min(1.0, max(0.0, self.shown.progress.share))
        last = self.shown.steps[-1] if self.shown.steps else {}
        return min(1.0, last["step"] / last["total"]) if last.get("total") else None

    @property
    def line(self) -> str:
        """Where it stands, in words."""
        if self.run.status is RunStatus.REQUESTED:
            return f"waiting for a {self.run.request.backend} worker"
        if not self.under_way:
            return self.run.reason or ""
        return self.shown.progress.line if self.shown.progress else "the training is about to begin"

    @property
    def _drawn(self) -> Steps:
        """No more steps than a picture can show several times over; the last one stays."""
        every = max(1, len(self.shown.steps) // _STEPS_DRAWN)
        return self.shown.steps[::-every][::-1]

    @property
    def measures(self) -> list[str]:
        """The names of all that its steps reported, what tells most first."""
        names = dict.fromkeys(name for told in self.shown.steps for name in told if name not in _NO_MEASURE)
        return [*(name for name in _FIRST if name in names), *(name for name in names if name not in _FIRST)]

    @property
    def curve(self) -> Markup:
        """What tells how it goes, drawn."""
        return Markup(curve_svg(self._drawn))

    @property
    def more_curves(self) -> list[tuple[str, Markup]]:
        """Every other measure, a picture each."""
        return [
            (name, Markup(curve_svg(self._drawn, measures=(name,)))) for name in self.measures if name not in _FIRST
        ]

    @property
    def before_and_after(self) -> list[tuple[str, float | None, float | None]]:
        before, after = self.run.before or {}, self.run.after or {}
        return [(name, before.get(name), after.get(name)) for name in dict.fromkeys((*after, *before))]

    @property
    def result(self) -> tuple[str, float | None, float] | None:
        """The measure to tell of it in a list: its name, before and after."""
        if not self.run.after:
            return None
        name = next(iter(self.run.after))
        return name, (self.run.before or {}).get(name), self.run.after[name]

    @property
    def options(self) -> Mapping[str, object]:
        return self.run.options if self.run.options is not None else self.run.request.options


def compared_curves(runs: Sequence[ShownRun]) -> Markup:
    """The same measures of several runs in one picture."""
    named = {str(shown.run.run_id)[:8]: shown.steps for shown in runs}
    return Markup(curves_svg(named))
