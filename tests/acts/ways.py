"""The ways in: each takes an act, does it as somebody of the installation would, and says what it was told.

A way that a later version has joins by a function.
"""

import contextlib
import io
import json
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from html import unescape
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

from fastapi.testclient import TestClient
from prefect.logging import disable_run_logger

from adapters.cli import run
from adapters.cli.errors import exit_code_of
from adapters.trainers import declarations
from adapters.web.method_form import FIELDS, MethodForm
from adapters.web.page import status_of
from domain.errors import PrefectUnavailable, TrainingMethodError
from domain.people.users import Origin
from domain.runs.training_run import RunRequest
from domain.use_cases.act import Act
from domain.use_cases.methods import AddMethod, DeleteMethod, DeletionImpact, ModifyMethod
from domain.use_cases.trainings import CancelRun, RerunRun, ResumeRun, StartTraining
from flows import manage
from infra.service import Service
from infra.settings import Settings
from tests.adapters.web.conftest import Visitor, app_of


@dataclass(frozen=True)
class Told:
    """What a way in answered: whether the act was done, in which words, and with which code, where it has codes."""

    done: bool
    words: str
    code: int = 0
    code_of: Callable[[TrainingMethodError], int] = lambda _: 0
    error: TrainingMethodError | None = None

    def says(self, sentence: str) -> bool:
        """Whether these words are among what was told, whoever they are about."""
        return by_anybody(sentence) in by_anybody(self.words)


def by_anybody(words: str) -> str:
    """The same words, whoever they are about."""
    return re.sub(r"\S+ may not ", "somebody may not ", words)


class ToldByFields(Told):
    """What a page or a method file answered: each fault stands at its field, or behind its line."""

    def says(self, sentence: str) -> bool:
        faults = re.split(r"; (?=[a-z_]+(?:\.\w+)*: |option ')", sentence.rstrip("."))
        return all(super(ToldByFields, self).says(re.sub(r"^[a-z_]+(?:\.\w+)*: ", "", fault)) for fault in faults)


class FlowRuns:
    """Prefect's part, as far as acts ask it: it answers, is away, or goes away once a flow run is made."""

    def __init__(self, prefect: str) -> None:
        self._prefect = prefect

    def _must_be_there(self, at: str) -> None:
        if self._prefect == at:
            raise PrefectUnavailable("No Prefect server answers.")

    def create(self, request: RunRequest, **_: Any) -> UUID:
        self._must_be_there("is away")
        return uuid4()

    def release(self, run_id: UUID) -> None:
        self._must_be_there("lets go")

    def cancel(self, run_id: UUID, reason: str) -> None:
        self._must_be_there("is away")

    def state(self, run_id: UUID) -> str:
        return "Scheduled"

    def address(self, run_id: UUID) -> str:
        return f"http://prefect/{run_id}"

    def scheduled(self, method: str) -> int:
        return 0


class House(Service):
    """An installation whose Prefect answers as it is told to."""

    def __init__(self, settings: Settings, prefect: str = "answers", *, flow_run_id: UUID | None = None) -> None:
        super().__init__(settings, flow_run_id=flow_run_id)
        self._prefect_is = prefect

    @cached_property
    def flow_runs(self) -> Any:
        return FlowRuns(self._prefect_is)

    @cached_property
    def pools(self) -> Any:
        return SimpleNamespace(is_paused=lambda *_: False, all=list)


Way = Callable[[Settings, str, Act[Any]], Told | None]
"""None for an act that this way in does not offer."""


def python(settings: Settings, prefect: str, act: Act[Any]) -> Told:
    """A program that imports the service."""
    with House(settings, prefect) as tmm:
        try:
            done = tmm.do(act, by=tmm.user().model_copy(update={"origin": Origin.PYTHON}))
        except TrainingMethodError as error:
            return Told(False, str(error), error=error)
    return Told(True, getattr(done, "sentence", ""))


# The command line.


def command_line(settings: Settings, prefect: str, act: Act[Any]) -> Told:
    """`tmm`, called as its users call it."""
    told = _tmm(settings, prefect, command(act))
    if isinstance(act, DeletionImpact) and "Nobody can be asked here." in told.words:
        return replace(told, done=True)
    return told


def _tmm(settings: Settings, prefect: str, words: list[str]) -> Told:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(lambda: House(settings, prefect), words)
    return Told(code == 0, out.getvalue() + err.getvalue(), code, exit_code_of)


_FLAGS = {
    "display_name": "--display-name",
    "method_type": "--type",
    "trainer": "--trainer",
    "description": "--description",
    "default_base_model": "--default-base-model",
    "default_dataset": "--default-dataset",
}


def command(act: Act[Any]) -> list[str]:  # noqa: PLR0911 -- one return an act
    """The words of this act after `tmm`."""
    match act:
        case AddMethod(fields=fields, start_from=like):
            return ["add", fields["internal_name"], *(["--from", like] if like else []), *_flags(fields)]
        case ModifyMethod(name=name, changes=changes):
            return ["modify", name, *_flags(changes)]
        case DeletionImpact(name=name):
            return ["delete", name]  # told before one is asked, and here nobody can be asked
        case DeleteMethod(name=name):
            return ["delete", name, "--yes"]
        case StartTraining(request=request):
            words = ["train", request.method, "--no-wait", "--backend", request.backend]
            words += ["--base-model", request.base_model, "--dataset", request.dataset]
            return words + [word for name, value in request.options.items() for word in ("--set", f"{name}={value}")]
        case CancelRun(run_id=run_id):
            return ["cancel", str(run_id)]
        case ResumeRun(run_id=run_id):
            return ["resume", str(run_id), "--no-wait"]
        case RerunRun(run_id=run_id):
            return ["rerun", str(run_id), "--no-wait"]
    raise TypeError(type(act))


def _flags(fields: Mapping[str, Any]) -> list[str]:
    words = [word for name, flag in _FLAGS.items() if name in fields for word in (flag, fields[name])]
    words += [word for backend in fields.get("backends", ()) for word in ("--backend", backend)]
    for option in fields.get("configuration_options", ()):
        type_ = f":{option['type']}" if "type" in option else ""
        words += ["--option", f"{option['name']}{type_}={option['default']}"]
    return words


def method_file(settings: Settings, prefect: str, act: Act[Any]) -> Told | None:
    """`tmm add` or `tmm modify` with a file, which says the same in YAML: JSON is that, too."""
    match act:
        case AddMethod(start_from="", fields=fields):
            words = ["add"]
        case ModifyMethod(name=name, changes=fields):
            words = ["modify", name]
        case _:
            return None
    file = settings.home / "method.yaml"
    file.write_text(json.dumps(fields))
    told = _tmm(settings, prefect, [*words, "--file", str(file)])
    return ToldByFields(told.done, told.words, told.code, told.code_of)


# The Prefect UI, and whoever triggers flows.


def flow(settings: Settings, prefect: str, act: Act[Any]) -> Told | None:
    """A flow run, but for the server: the flow's body, in this process."""
    body: Callable[..., Any] = manage.delete_training_method.fn
    match act:
        case AddMethod(fields=fields, start_from=like):
            body, given = manage.add_training_method.fn, {**fields, "from_method": like}
        case DeleteMethod(name=name):
            given = {"internal_name": name}
        case DeletionImpact(name=name):
            given = {"internal_name": name, "only_tell": True}
        case _:
            return None
    tmm = House(settings, prefect, flow_run_id=uuid4())
    with tmm, disable_run_logger(), patch.object(manage, "installation_of_this_run", lambda: nullcontext(tmm)):
        state = body(**given)
    return Told(state is None or state.is_completed(), state.message if state is not None else "")


# The page.


def page(settings: Settings, prefect: str, act: Act[Any]) -> Told | None:
    """The Training Methods page, in the browser of whoever is signed in."""
    with House(settings, prefect) as tmm, TestClient(app_of(tmm, Visitor(tmm.user()))) as browser:
        if isinstance(act, DeletionImpact):
            answer = browser.get(f"/methods/{act.name}/delete")
        elif (form := _form(tmm, act)) is None:
            return None
        else:
            path, filled_in = form
            answer = browser.post(path, data=filled_in, follow_redirects=False)
        words = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.text)))
    return ToldByFields(answer.status_code < 400, words, answer.status_code, status_of)


def _form(tmm: Service, act: Act[Any]) -> tuple[str, dict[str, Any]] | None:  # noqa: PLR0911 -- the same
    """Where the form of this act goes, and what it is filled in with."""
    match act:
        case AddMethod(start_from="", fields=fields):
            options: list[dict[str, Any]] = fields.get("configuration_options", [])
            filled_in = {name: value for name, value in fields.items() if name in FIELDS[:-3] or "default_" in name}
            offered = [option["name"] for option in options]
            filled_in |= {"option": offered, "offer": offered}
            return "/add", filled_in | {f"default.{option['name']}": str(option["default"]) for option in options}
        case ModifyMethod(name=name, changes=changes):
            known = {method.spec.internal_name: method.spec for method in tmm.catalogue.selectable()}
            if (spec := known.get(name)) is None:
                return f"/methods/{name}/modify", dict(changes)
            shown = MethodForm.of_method(spec, declarations()[spec.trainer].options)
            names = [option.name for option in spec.configuration_options]
            filled_in = {field: shown.fields[field] for field in FIELDS if field != "configuration_options"} | changes
            filled_in |= {"option": names, "offer": names}
            for row in shown.rows:
                typed = ("default", "minimum", "maximum", "max_length", "choices", "description")
                filled_in |= {f"{field}.{row.declared.name}": getattr(row, field) for field in typed}
            return f"/methods/{name}/modify", filled_in
        case DeleteMethod(name=name):
            return f"/methods/{name}/delete", {}
        case StartTraining(request=request):
            filled_in = {"start": "1", "backend": request.backend.value, "seed": str(request.seed)}
            filled_in |= {"base_model": request.base_model, "dataset": request.dataset}
            if "charm" in request.options:
                return None  # a form has no field for what the method does not offer
            filled_in |= {f"set.{name}": str(value) for name, value in request.options.items()}
            return f"/methods/{request.method}/train", filled_in
        case CancelRun(run_id=run_id):
            return f"/runs/{run_id}/cancel", {}
        case ResumeRun(run_id=run_id):
            return f"/runs/{run_id}/resume", {}
        case RerunRun(run_id=run_id):
            return f"/runs/{run_id}/rerun", {}
    return None


WAYS: Mapping[str, Way] = {"command line": command_line, "method file": method_file, "flow": flow, "page": page}
