"""Acts that people do, right and wrong, as data: whichever way they come in by, the same must come of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from domain.runs.training_run import RunRequest
from domain.use_cases.act import Act
from domain.use_cases.methods import AddMethod, DeleteMethod, DeletionImpact, ModifyMethod
from domain.use_cases.trainings import CancelRun, RerunRun, ResumeRun, StartTraining
from tests.support.people import request

RUN, UNKNOWN = UUID(int=7 << 64), UUID(int=9 << 64)
"""A run that waits, in every installation; and one that is nowhere."""


@dataclass(frozen=True)
class Case:
    """What somebody does, with or without a licence, after what was done before; `prefect` is how that answers."""

    act: Act[Any]
    licensed: bool = True
    before: tuple[Act[Any], ...] = ()
    prefect: Literal["answers", "is away", "lets go"] = "answers"
    ends: str = ""
    """The error that comes of it."""
    records: tuple[str, ...] | None = None
    """The actions that are recorded, where that is not plain."""


def add(name: str = "sft-support", start_from: str = "", **fields: Any) -> AddMethod:
    """A whole method, but for these fields; those that are None are left out."""
    whole = {
        "internal_name": name,
        "display_name": "SFT Support",
        "method_type": "SFT",
        "trainer": "sft",
        "backends": ["cuda"],
        "description": "With our support team's defaults.",
    }
    given = {"internal_name": name, **fields} if start_from else whole | fields
    return AddMethod(fields={n: value for n, value in given.items() if value is not None}, start_from=start_from)


def offering(*options: Mapping[str, Any]) -> AddMethod:
    return add(configuration_options=list(options))


def modify(name: str, **changes: Any) -> ModifyMethod:
    return ModifyMethod(name=name, changes=changes)


def delete(name: str) -> DeleteMethod:
    return DeleteMethod(name=name)


def train(method: str = "sft-demo", **fields: Any) -> StartTraining:
    # Not parsed where it is wrong on purpose: that is for the act, or the way in, to say.
    return StartTraining(request=RunRequest(**request().model_dump() | {"method": method} | fields))


def cancel(run: UUID = RUN) -> CancelRun:
    return CancelRun(run_id=run, reason="somebody cancelled it here.")


RATE = {"name": "learning_rate", "type": "number", "default": 2e-5}
NOBODY = {"licensed": False, "ends": "CommercialUsersOnly"}
WRONG = {"ends": "InvalidMethod"}
GONE = (delete("sft-demo"),)

TABLE: dict[str, Case] = {
    # Adding.
    "add with all that one can say": Case(add(default_dataset="sft-demo", default_base_model="small-base")),
    "add what leaves out all that the trainer knows": Case(add(method_type=None, backends=None)),
    "add with an option whose limits are the trainer's": Case(offering(RATE)),
    "add with an option of which only the default is given": Case(offering({"name": "learning_rate", "default": 2e-5})),
    "add a copy": Case(add("sft-two", start_from="sft-demo", description="Ours.")),
    "add a name anew that was deleted": Case(add("sft-demo"), before=GONE),
    "add a name that is taken": Case(add("sft-demo"), ends="MethodAlreadyExists"),
    "add what is no name": Case(add("Not A Name"), **WRONG),
    "add with a display name that is too long": Case(add(display_name="x" * 81), **WRONG),
    "add without a description": Case(add(description=None), **WRONG),
    "add with a password in the description": Case(add(description="postgres://u:hunter2@db/x"), **WRONG),
    "add with a trainer that there is not": Case(add(trainer="alchemy"), **WRONG),
    "add on a backend that the trainer lacks": Case(add(backends=["mlx"]), **WRONG),
    "add with a type that the trainer does not train": Case(add(method_type="DPO"), **WRONG),
    "add with an option that is beyond its limits": Case(offering(RATE | {"default": 5.0}), **WRONG),
    "add a copy of what is nowhere": Case(add("sft-two", start_from="nowhere"), ends="MethodNotFound"),
    "add a copy of what was deleted": Case(
        add("sft-two", start_from="sft-demo"), before=GONE, ends="MethodNotSelectable"
    ),
    "add without a licence": Case(add(), **NOBODY),
    "add a name that is taken without a licence": Case(add("sft-demo"), **NOBODY),
    "add what is no name without a licence": Case(add("Not A Name"), **NOBODY),
    "add a copy of what is nowhere without a licence": Case(add("sft-two", start_from="nowhere"), **NOBODY),
    # Modifying.
    "modify the words": Case(modify("sft-demo", display_name="Ours", description="In our words.")),
    "modify nothing": Case(modify("sft-demo", display_name="SFT-Demo"), records=()),
    "modify with a name that is too long": Case(modify("sft-demo", display_name="x" * 81), **WRONG),
    "modify what is nowhere": Case(modify("nowhere", display_name="Ours"), ends="MethodNotFound"),
    "modify what was deleted": Case(modify("sft-demo", display_name="Ours"), before=GONE, ends="MethodNotSelectable"),
    "modify what was deleted without a licence": Case(modify("sft-demo", display_name="Ours"), before=GONE, **NOBODY),
    "modify a template without a licence": Case(modify("custom01", display_name="Ours"), licensed=False),
    "modify without a licence": Case(modify("sft-demo", display_name="Ours"), **NOBODY),
    "modify with a name that is too long without a licence": Case(modify("sft-demo", display_name="x" * 81), **NOBODY),
    "modify a template's type without a licence": Case(modify("custom01", method_type="DPO"), **NOBODY),
    # Deleting.
    "see what deleting would affect": Case(DeletionImpact(name="sft-demo")),
    "delete": Case(delete("sft-demo")),
    "delete what is nowhere": Case(delete("nowhere"), ends="MethodNotFound"),
    "delete what was deleted": Case(delete("sft-demo"), before=GONE, ends="MethodNotSelectable"),
    "delete without a licence": Case(delete("sft-demo"), **NOBODY),
    "delete what was deleted without a licence": Case(delete("sft-demo"), before=GONE, **NOBODY),
    "delete what is nowhere without a licence": Case(delete("nowhere"), licensed=False, ends="MethodNotFound"),
    # Training.
    "train": Case(train(options={"max_steps": 5}), licensed=False),
    "train with what was deleted": Case(train(), before=GONE, ends="MethodNotSelectable"),
    "train with what is nowhere": Case(train("nowhere"), ends="MethodNotFound"),
    "train on a backend that the method lacks": Case(train(backend="mlx"), ends="MethodNotSelectable"),
    "train with an option that the method lacks": Case(
        train(options={"charm": 1.0}), ends="InvalidConfigurationOptions"
    ),
    "train beyond an option's limits": Case(train(options={"max_steps": 10**9}), ends="InvalidConfigurationOptions"),
    "train while Prefect is away": Case(train(), prefect="is away", ends="PrefectUnavailable", records=()),
    "train while Prefect goes away": Case(
        train(), prefect="lets go", ends="PrefectUnavailable", records=("request", "cancel")
    ),
    # Giving up, going on, repeating.
    "cancel what waits": Case(cancel(), licensed=False),
    "cancel what waits while Prefect is away": Case(cancel(), prefect="is away"),
    "cancel what was cancelled": Case(cancel(), before=(cancel(),), ends="RunAlreadyFinished"),
    "cancel what is nowhere": Case(cancel(UNKNOWN), ends="RunNotFound"),
    "resume what waits": Case(ResumeRun(run_id=RUN), ends="RunAlreadyFinished"),
    "resume what was cancelled": Case(ResumeRun(run_id=RUN), before=(cancel(),), ends="RunAlreadyFinished"),
    "repeat a run": Case(RerunRun(run_id=RUN)),
    "repeat a run whose method was deleted": Case(RerunRun(run_id=RUN), before=GONE, ends="MethodNotSelectable"),
    "repeat what is nowhere": Case(RerunRun(run_id=UNKNOWN), ends="RunNotFound"),
}
