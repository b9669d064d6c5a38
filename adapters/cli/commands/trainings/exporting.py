"""`tmm export`: what a run made, as one folder that other programs open."""

from pathlib import Path

import click

from adapters.cli.context import Context
from adapters.cli.output import as_json, facts, say, warn
from adapters.cli.parameters import json_option
from domain.use_cases.results import ExportRun
from domain.use_cases.runs import FindRun


@click.command(short_help="Write a run's model as one folder for other programs.")
@click.argument("run", help="The run's id, or the beginning of it.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="A new folder, or an empty one."
)
@json_option
@click.pass_obj
def export(tmm: Context, run: str, out: Path, json_wanted: bool) -> None:
    """Write a run's model as one folder that transformers and mlx_lm open. An adapter is merged into its base model.

    \b
    tmm export 1a2b --out adder
    """
    user = tmm.user()
    found = tmm.do(FindRun(named=run), by=user)
    exported = tmm.do(ExportRun(run_id=found.run_id, out=out.absolute()), by=user)
    warn(exported.warning)
    if json_wanted:
        as_json(
            {
                "run_id": str(found.run_id),
                "folder": str(exported.folder),
                "merged": exported.merged,
                "weights_hash": exported.weights_hash,
            }
        )
        return
    how = "the adapter merged into its base model" if exported.merged else "the model as it was trained"
    say(f"{exported.folder} holds {how}. Open it with:")
    facts(
        [
            ("transformers", f'AutoModelForCausalLM.from_pretrained("{exported.folder}")'),
            ("mlx_lm", f'mlx_lm.load("{exported.folder}")'),
        ],
        indent="  ",
    )
