"""`add-training-method` and `delete-training-method`: the catalogue's commands for people in the Prefect UI.

The rules are the domain's: under a noncommercial licence these flows end Failed, with the sentence that says why.
"""

from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from domain.use_cases.methods import START_FROM, AddMethod, DeleteMethod, DeletionImpact
from flows.acting import ending_in_words, installation_of_this_run
from infra.acting_for import acting, named
from infra.service import Service
from infra.upkeep.publishing import update_prefect


@flow(name="add-training-method", flow_run_name="add {internal_name}", validate_parameters=False)
@ending_in_words
def add_training_method(
    internal_name: str,
    from_method: str = "",
    display_name: str = "",
    method_type: str = "",
    description: str = "",
    trainer: str = "",
    backends: list[str] | None = None,
    configuration_options: list[dict[str, Any]] | None = None,
    default_base_model: str = "",
    default_dataset: str = "",
    acting_for: str = "",
) -> State[Any] | None:
    """Put a training method into the catalogue, from its fields or from a method to copy. For commercial users only."""
    asked = {
        "internal_name": internal_name,
        "from_method": from_method,
        "display_name": display_name,
        "method_type": method_type,
        "description": description,
        "trainer": trainer,
        "backends": backends,
        "configuration_options": configuration_options,
        "default_base_model": default_base_model,
        "default_dataset": default_dataset,
    }
    with installation_of_this_run() as installation:
        who = acting(installation, acting_for, action="add", given=asked)
        if who.answer:
            return _answered_before(installation, who.answer)
        fields = {name: value for name, value in asked.items() if name != START_FROM}
        added = installation.do(AddMethod(fields=fields, start_from=from_method, token=who.token), by=who.user)
        get_run_logger().info("%s can be chosen now", added.method.spec.display_name)
        _follow(added.remark)
    return None


@flow(name="delete-training-method", flow_run_name="delete {internal_name}", validate_parameters=False)
@ending_in_words
def delete_training_method(internal_name: str, only_tell: bool = False, acting_for: str = "") -> State[Any] | None:
    """Take a training method out of the catalogue, or only tell what that would affect. For commercial users only."""
    asked = {"internal_name": internal_name}
    name = named(asked)
    with installation_of_this_run() as installation:
        if only_tell:
            impact = installation.do(DeletionImpact(name=name), by=installation.user())
            return Completed(message=impact.sentence)
        who = acting(installation, acting_for, action="delete", given=asked)
        if who.answer:
            return _answered_before(installation, who.answer)
        deleted = installation.do(DeleteMethod(name=name, token=who.token), by=who.user)
        get_run_logger().info("%s can no longer be chosen; waiting runs cancelled: %d", name, len(deleted.cancelled))
        _follow(deleted.remark)
    return None


def _answered_before(installation: Service, answer: str) -> State[Any]:
    """What an earlier attempt did stands; what it did not come to, Prefect's catalogue, follows."""
    _follow(update_prefect(installation))
    return Completed(message=answer)


def _follow(warning: str | None) -> None:
    if warning:
        get_run_logger().warning(warning)
