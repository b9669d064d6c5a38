"""What one can do about an error, as the commands that do it: for terminals, for flows, and for links made of them."""

from domain.errors import TrainingMethodError

COMMANDS = {
    "ListMethods": "tmm list",
    "ModifyMethod": "tmm modify {name}",
    "ListRuns": "tmm runs",
    "ShowRun": "tmm runs show {run}",
    "RerunRun": "tmm rerun {run}",
    "IssueToken": "tmm token issue",
    "Examine": "tmm doctor",
    "FreeName": "tmm web --free {name}",
}
"""The command of each act that a remedy names."""


def with_remedies(error: TrainingMethodError) -> str:
    """The error's sentence, and after it each remedy with its command."""
    ways = (f"{remedy.words} with: {COMMANDS[remedy.act].format(**remedy.given)}" for remedy in error.remedies)
    return " ".join((str(error), *ways))
