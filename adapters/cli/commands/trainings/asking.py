"""`tmm ask`: the base model and what a run made of it answer the same question."""

import click

from adapters.cli.context import Context
from adapters.cli.output import as_json, say, warn
from adapters.cli.parameters import json_option
from domain.use_cases.results import AskRun
from domain.use_cases.runs import FindRun


@click.command(short_help="Put a question to the base model and to a run's result.")
@click.argument("run", help="The run's id, or the beginning of it.")
@click.argument("questions", nargs=-1, required=True, metavar="QUESTION…", help="What to ask; several if you like.")
@click.option(
    "--longest", type=click.IntRange(1, 8192), default=256, show_default=True, help="Tokens of an answer, at most."
)
@click.option(
    "--temperature",
    type=click.FloatRange(0.0, 2.0),
    default=0.0,
    show_default=True,
    help="0 takes the likeliest token each time; above, tokens are drawn by chance.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="What chance follows.")
@json_option
@click.pass_obj
def ask(
    tmm: Context,
    run: str,
    questions: tuple[str, ...],
    longest: int,
    temperature: float,
    seed: int,
    json_wanted: bool,
) -> None:
    """Put a question to the base model and to what a run made of it, on the backend that the run had.

    \b
    tmm ask 1a2b '98+58='
    tmm ask 1a2b 'Hello!' 'What can you do?' --temperature 0.7
    """
    user = tmm.user()
    found = tmm.do(FindRun(named=run), by=user)
    act = AskRun(run_id=found.run_id, questions=questions, longest=longest, temperature=temperature, seed=seed)
    asked = tmm.do(act, by=user)
    warn(asked.warning)
    if json_wanted:
        as_json(
            [
                {"question": question, "base": base, "result": result}
                for question, base, result in zip(questions, asked.base, asked.result, strict=True)
            ]
        )
        return
    for question, base, result in zip(questions, asked.base, asked.result, strict=True):
        say(question, bold=True)
        _said(f"{found.request.base_model} before", base)
        _said(f"after {found.request.method}", result)
        if len(questions) > 1:
            say()


def _said(who: str, text: str) -> None:
    say(f"  {who}:")
    for line in text.splitlines() or ["(nothing)"]:
        say(f"    {line}")
