"""Measures, durations, sizes and options for people, told alike on the command line and at the page."""


def figure(name: str, value: float) -> str:
    """A measure: a loss as a number, everything else, being a share, in per cent."""
    return f"{value:.3f}" if "loss" in name or "perplexity" in name else f"{value:.1%}"


def option_value(value: object) -> str:
    """An option's value as it would be typed after `--set name=`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def duration(seconds: float) -> str:
    """«12.3 s», «4 min 05 s», «2 h 03 min»."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def size_of(count: float) -> str:
    """Bytes for people, in powers of a thousand."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def typed_as(value: object) -> str:
    """A value as somebody would type it into a field: 1e-08, 100 and not 100.0; nothing for what is missing."""
    if value is None:
        return ""
    if isinstance(value, float):
        short = f"{value:.0f}" if value.is_integer() and abs(value) < 1e12 else f"{value:g}"
        return short if float(short) == value else str(value)
    return option_value(value)
