"""`tmm list` and `tmm show`: what can be chosen for a training."""

import json
from collections.abc import Sequence
from datetime import datetime

import click

from adapters.cli.context import Context
from adapters.cli.documents import entry_document, method_document, run_document
from adapters.cli.output import as_json, facts, heading, moment, option_value, remark, say, table
from adapters.cli.parameters import BACKEND, METHOD_TYPE, Moment, json_option
from domain.audit.read_models import AuditEntry, Run, SelectableMethod
from domain.catalogue.method_spec import Backend, MethodType
from domain.use_cases.methods import ListMethods, MethodEntries, ShowMethodInFull

LONGEST_VALUE = 200


@click.command("list", short_help="List the methods that can be chosen for a training.")
@click.option("--backend", type=BACKEND, help="Only methods that run on this backend.")
@click.option("--type", "method_type", type=METHOD_TYPE, help="Only methods of this type.")
@click.option("--as-of", type=Moment(), help="What could be chosen then, as the log tells.")
@json_option
@click.pass_obj
def list_methods(
    tmm: Context,
    backend: Backend | None,
    method_type: MethodType | None,
    as_of: datetime | None,
    json_wanted: bool,
) -> None:
    """List the methods that can be chosen for a training, by internal name."""
    methods = tmm.do(ListMethods(backend=backend, method_type=method_type, as_of=as_of), by=tmm.user())
    if json_wanted:
        as_json([method_document(method) for method in methods])
    elif methods:
        table(
            ("NAME", "DISPLAY NAME", "TYPE", "BACKENDS", "DESCRIPTION"),
            [
                (m.spec.internal_name, m.spec.display_name, m.spec.method_type, _backends(m), m.spec.description)
                for m in methods
            ],
            clip=True,
        )
    elif as_of:
        remark(f"No method of this kind could be chosen at {moment(as_of)} UTC.")
    elif backend or method_type:
        remark("No method is of this kind. List all of them with: tmm list")
    else:
        remark("No method can be chosen. Install the preinstalled ones with: tmm migrate")


@click.command(short_help="Show one method with its options, limits, history and runs.")
@click.argument("name", help="The method's internal name.")
@click.option("--history", "whole_history", is_flag=True, help="Its whole life instead, also of one that was deleted.")
@json_option
@click.pass_obj
def show(tmm: Context, name: str, whole_history: bool, json_wanted: bool) -> None:
    """Show one method: what it offers, within which limits, its newest changes and runs."""
    if whole_history:
        _tell_history(tmm.do(MethodEntries(name=name), by=tmm.user()), json_wanted)
        return
    shown = tmm.do(ShowMethodInFull(name=name), by=tmm.user())
    method = shown.method
    if json_wanted:
        as_json(
            method_document(method)
            | {
                "default_base_model": method.spec.default_base_model,
                "default_dataset": method.spec.default_dataset,
                "history": [entry_document(entry) for entry in shown.history],
                "runs": [run_document(run) for run in shown.runs],
            }
        )
    else:
        _show_method(method)
        _show_history(shown.history)
        _show_runs(shown.runs)
        say()
        say(f"Train with it: {train_line(method)}")


def train_line(method: SelectableMethod) -> str:
    """A command that trains with this method, to copy and paste."""
    spec = method.spec
    base_model = "" if spec.default_base_model else " --base-model PATH_OR_ID"
    dataset = "" if spec.default_dataset else " --dataset PATH_OR_ID"
    return f"tmm train {spec.internal_name}{base_model}{dataset}"


def _show_method(method: SelectableMethod) -> None:
    spec = method.spec
    say(spec.display_name, bold=True)
    facts(
        [
            ("internal name", spec.internal_name),
            ("type", spec.method_type),
            ("description", spec.description),
            ("trainer", spec.trainer),
            ("backends", _backends(method)),
            ("base model", spec.default_base_model and f"{spec.default_base_model} (unless you name another)"),
            ("dataset", spec.default_dataset and f"{spec.default_dataset} (unless you name another)"),
            ("preinstalled", "yes" if method.preinstalled else "no"),
            ("version", method.version),
        ]
    )
    heading("Options")
    if spec.configuration_options:
        table(
            ("OPTION", "TYPE", "DEFAULT", "LIMITS", "WHAT IT IS"),
            [(o.name, o.type, option_value(o.default), o.limits, o.description) for o in spec.configuration_options],
        )
    else:
        say("none")


def _show_history(history: Sequence[AuditEntry]) -> None:
    heading("History")
    for entry in history:
        refusal = f": {entry.reason}" if entry.outcome == "refused" and entry.reason else ""
        facts([(moment(entry.occurred_at), entry.sentence + refusal)])


def _tell_history(entries: Sequence[AuditEntry], json_wanted: bool) -> None:
    if json_wanted:
        as_json([entry_document(entry) for entry in entries])
        return
    for entry in entries:
        facts([(f"{entry.position}  {moment(entry.occurred_at)}", entry.sentence)])
        if entry.outcome == "refused":
            facts([("refused", entry.reason)], indent="    ")
        elif entry.action == "modify":
            facts([(c.field, f"{_short(c.before)} -> {_short(c.after)}") for c in entry.changes], indent="    ")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def _show_runs(runs: Sequence[Run]) -> None:
    heading("Newest runs")
    if runs:
        table(
            ("RUN", "STATUS", "REQUESTED (UTC)", "BY"),
            [(run.run_id, run.status, moment(run.requested_at), run.requested_by) for run in runs],
            clip=True,
        )
    else:
        say("none yet")


def _backends(method: SelectableMethod) -> str:
    return ", ".join(method.spec.backends)
