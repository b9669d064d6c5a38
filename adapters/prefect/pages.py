"""Markdown artifacts: the catalogue as a table, a page for each method, and the live page of a run."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from adapters.prefect import forms
from adapters.prefect.client import prefect_client
from adapters.shared.showing.markdown import as_code, as_paragraphs, as_text
from domain.audit.read_models import AuditEntry, Run, SelectableMethod
from domain.catalogue.method_spec import Backend

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

CATALOGUE_KEY = "training-methods"


class PrefectPages:
    """Writes pages into Prefect; a page whose text is there already is left alone."""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url

    def show(self, pages: Mapping[str, str]) -> None:
        """The newest text of each page, by its key. Raises `PrefectUnavailable`."""
        with prefect_client(self._api_url) as client:
            for key, text in pages.items():
                if _newest(client, key) != text:
                    client.request("POST", "/artifacts/", json={"key": key, "type": "markdown", "data": text})


def _newest(client: "SyncPrefectClient", key: str) -> str | None:
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        found = client.request("GET", f"/artifacts/{key}/latest")  # type: ignore[arg-type]  # its type knows no filled-in address
    except PrefectHTTPStatusError as error:
        if error.response.status_code == 404:
            return None
        raise
    return str(found.json()["data"])


def method_key(method: SelectableMethod) -> str:
    """The key of a method's own page."""
    return f"training-method-{method.spec.internal_name}"


def catalogue_page(selectable: Sequence[SelectableMethod], addresses: Mapping[tuple[str, Backend], str]) -> str:
    """All selectable methods as a table; a backend links to the deployment that trains with the method on it."""
    lines = [
        "# Training methods",
        "",
        "What can be chosen for a training. A backend leads to the form that starts one.",
        "",
        "| Method | Name | Type | Trains on |",
        "| --- | --- | --- | --- |",
    ]
    for method in selectable:
        spec = method.spec
        backends = ", ".join(
            f"[{backend}]({addresses[spec.internal_name, backend]})"
            if (spec.internal_name, backend) in addresses
            else backend.value
            for backend in spec.backends
        )
        lines.append(f"| {as_text(spec.display_name)} | `{spec.internal_name}` | {spec.method_type} | {backends} |")
    # Below the table, because Prefect cuts a wide one off.
    lines += [
        "",
        *(f"- **{as_text(method.spec.display_name)}**: {as_text(method.spec.description)}" for method in selectable),
    ]
    return "\n".join([*lines, ""])


def method_page(
    method: SelectableMethod, history: Sequence[AuditEntry], runs: Sequence[Run], addresses: Mapping[UUID, str]
) -> str:
    """A method with its options, its history and its newest runs."""
    spec = method.spec
    lines = [
        f"# {as_text(spec.display_name)}",
        "",
        as_paragraphs(spec.description),
        "",
        f"`{spec.method_type}` with the trainer {as_code(spec.trainer)} on {', '.join(spec.backends)}, "
        f"version {method.version}.",
        *forms.options_table(method),
        "",
        "## History",
        "",
        *(f"- {entry.occurred_at:%Y-%m-%d %H:%M} UTC: {as_text(entry.sentence)}" for entry in history),
        "",
        "## Newest runs",
        "",
    ]
    if not runs:
        lines.append("None yet.")
    else:
        lines += ["| Run | Requested (UTC) | By | Came to |", "| --- | --- | --- | --- |"]
    for run in runs:
        where = f"[{run.run_id}]({addresses[run.run_id]})" if run.run_id in addresses else str(run.run_id)
        lines.append(f"| {where} | {run.requested_at:%Y-%m-%d %H:%M} | {as_text(run.requested_by)} | {_came_to(run)} |")
    return "\n".join([*lines, ""])


def run_page(title: str, line: str, curve: str) -> str:
    """A run as it goes: its newest line, and the curve as a picture that needs no network."""
    lines = [f"# {as_text(title)}", "", as_text(line), ""]
    if curve:
        lines.append(f"![How the training goes](data:image/svg+xml;base64,{b64encode(curve.encode()).decode()})")
    return "\n".join(lines)


def report_page(entries: Sequence[AuditEntry], told: int, counts: Mapping[str, int], days: int) -> str:
    """What happened in these days: how often what was done, and the newest entries of the `told` there are."""
    lines = [f"# The audit log of {in_days(days)}", "", f"{told} entries.", ""]
    lines += ["| Action | Entries |", "| --- | ---: |"]
    lines += [f"| {as_text(action)} | {entries} |" for action, entries in counts.items()]
    lines += ["", "| Entry | When (UTC) | Outcome | What happened |", "| ---: | --- | --- | --- |"]
    lines += [
        f"| {e.position} | {e.recorded_at:%Y-%m-%d %H:%M:%S} | {e.outcome} | {as_text(e.told)} |" for e in entries
    ]
    if told > len(entries):
        lines += ["", f"These are the newest {len(entries)} of {told}. All of them: `tmm audit export FILE`"]
    return "\n".join(lines) + "\n"


def in_days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"


def _came_to(run: Run) -> str:
    if run.after:
        return f"{run.status}: " + as_text(", ".join(f"{name} {value:.3f}" for name, value in run.after.items()))
    return f"{run.standing}: {as_text(run.reason)}" if run.reason else run.standing
