"""How a training went, as a small picture: one SVG that needs nothing from outside, for browsers, files and Prefect."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

Steps = Sequence[Mapping[str, float]]

# The measures that tell how a training goes, best first; a picture shows those of them that were reported.
TOLD = ("reward", "loss")

_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 34, 30
_MOST_POINTS = 300
_COLOURS = ("#2563eb", "#ea580c", "#059669", "#9333ea")
_NOISY_FROM = 30


def curve_svg(steps: Steps, *, title: str = "", measures: Sequence[str] = TOLD) -> str:
    """Reward and loss over the steps of one run. `steps` hold `step` and the metrics that were reported at it."""
    return curves_svg({"": steps}, title=title, measures=measures)


def curves_svg(runs: Mapping[str, Steps], *, title: str = "", measures: Sequence[str] = TOLD) -> str:
    """The same measures of several runs in one picture; the keys name the runs."""
    told = [name for name in measures if any(_points(steps, name) for steps in runs.values())]
    height = max(1, len(told)) * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#374151">',
        f"<title>{escape(title or 'How the training went')}</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
    ]
    for index, name in enumerate(told):
        lines = {run: points for run, steps in runs.items() if (points := _points(steps, name))}
        heading = f"{name} · {title}" if title and index == 0 else name
        parts += _panel(heading, lines, list(runs), index * _HEIGHT)
    if not told:
        parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT / 2}" text-anchor="middle">No step was reported yet.</text>')
    return "\n".join([*parts, "</svg>", ""])


_Points = list[tuple[float, float]]


def _points(steps: Steps, name: str) -> _Points:
    return [(told["step"], told[name]) for told in steps if name in told and math.isfinite(told[name])]


def _panel(heading: str, lines: Mapping[str, _Points], runs: Sequence[str], top: int) -> list[str]:
    across = _Axis([x for points in lines.values() for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    upwards = _Axis([y for points in lines.values() for _, y in points], top + _HEIGHT - _BOTTOM, top + _TOP)
    parts = [f'<text x="{_LEFT}" y="{top + 20}" font-size="13" font-weight="600">{escape(heading)}</text>']
    for value in upwards.ticks():
        y = upwards.place(value)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in across.ticks(whole=True):
        x, y = across.place(value), top + _HEIGHT - _BOTTOM + 16
        parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{value:g}</text>')
    for run, points in lines.items():
        colour = _COLOURS[runs.index(run) % len(_COLOURS)]
        parts += _line(points, across, upwards, colour)
    parts += _legend(runs, top) if len(runs) > 1 else []
    return parts


def _line(points: _Points, across: "_Axis", upwards: "_Axis", colour: str) -> list[str]:
    """What was reported, and where that is noisy, its running mean on top."""
    drawn = [(across.place(x), upwards.place(y)) for x, y in _thinned(points)]
    if len(drawn) == 1:
        return [f'<circle cx="{drawn[0][0]:.1f}" cy="{drawn[0][1]:.1f}" r="3" fill="{colour}"/>']
    if len(points) < _NOISY_FROM:
        return [_path(drawn, colour, width=1.8)]
    mean = [(across.place(x), upwards.place(y)) for x, y in _thinned(_running_mean(points))]
    return [_path(drawn, colour, width=1, opacity=0.35), _path(mean, colour, width=1.8)]


def _path(places: _Points, colour: str, *, width: float, opacity: float = 1) -> str:
    way = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    faint = f' opacity="{opacity}"' if opacity < 1 else ""
    return f'<path d="M{way}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"{faint}/>'


def _legend(runs: Sequence[str], top: int) -> list[str]:
    parts = []
    for place, run in enumerate(reversed(runs)):
        x = _WIDTH - _RIGHT - place * 110
        colour = _COLOURS[(len(runs) - 1 - place) % len(_COLOURS)]
        parts.append(f'<text x="{x}" y="{top + 20}" text-anchor="end" fill="{colour}">{escape(run[:16])}</text>')
    return parts


def _thinned(points: _Points) -> _Points:
    """A long run's points as the means of neighbours: no more than the eye can tell apart; first and last stay."""
    if len(points) <= _MOST_POINTS:
        return points
    size = math.ceil(len(points) / _MOST_POINTS)
    groups = [points[begin : begin + size] for begin in range(1, len(points) - 1, size)]
    means = [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
    return [points[0], *means, points[-1]]


def _running_mean(points: _Points) -> _Points:
    """The exponential running mean over about a twentieth of the run, freed from its bias towards the first point."""
    keep = 1 - 1 / max(2.0, len(points) / 20)
    mean, weight, result = 0.0, 0.0, []
    for x, y in points:
        mean, weight = keep * mean + (1 - keep) * y, keep * weight + (1 - keep)
        result.append((x, mean / weight))
    return result


class _Axis:
    """Where values lie on the picture, between its round numbers."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        self._low, self._high = min(values), max(values)
        size = max(abs(self._low), abs(self._high))
        if self._high - self._low <= 1e-9 * size or size < 1e-300:
            # A flat line lies in the middle, however large its value is.
            margin = size / 10 if size > 1e-300 else 0.5
            self._low, self._high = self._low - margin, self._high + margin
        self._begin, self._end = begin, end

    def place(self, value: float) -> float:
        return self._begin + (value - self._low) / (self._high - self._low) * (self._end - self._begin)

    def ticks(self, *, whole: bool = False) -> list[float]:
        """Round numbers within the axis, about five."""
        rough = (self._high - self._low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        apart = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
        apart = max(1.0, apart) if whole else apart
        first = math.ceil(self._low / apart - 1e-9)
        last = math.floor(self._high / apart + 1e-9)
        return [float(f"{number * apart:.12g}") for number in range(first, last + 1)]
