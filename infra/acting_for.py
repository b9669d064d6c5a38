"""Who acts when a program acts for a person: the subject of a signed token, for exactly this command and parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import InvalidRunRequest, TokenDoesNotHold
from domain.options import options_after_defaults
from domain.training_run import RunRequest
from domain.users import User
from infra.adding import spec_of

if TYPE_CHECKING:
    from infra.wiring import Installation

ACTIONS = ("train", "add", "delete")


def acting_user(tmm: "Installation", token: str, *, action: str, given: Mapping[str, Any]) -> User:
    """The person whom the token names, or without a token the flow's own user.

    A token counts once. Raises `TokenDoesNotHold`, after the audit log has it.
    """
    user = tmm.user()
    if not token:
        return user
    try:
        held = tmm.acting_tokens.verified(token, action=action, parameters=bound_parameters(tmm, action, given))
        person = tmm.user(acting_for=held.person)
        tmm.service.use_token(held.token_id, key_id=held.key_id, action=action, expires=held.expires, by=person)
    except TokenDoesNotHold as refusal:
        name = given.get("method") or given.get("internal_name") or ""
        tmm.service.record_refused(
            refusal, action="request" if action == "train" else action, name=name, tried=given, by=user
        )
        raise
    return person


def issue_token(
    tmm: "Installation", key: Path, *, person: str, action: str, given: Mapping[str, Any], minutes: int
) -> str:
    """A token with which a program may do this for this person. Raises what makes the parameters impossible."""
    parameters = bound_parameters(tmm, action, given)
    return tmm.acting_tokens.issue(key, person=person, action=action, parameters=parameters, minutes=minutes)


def bound_parameters(tmm: "Installation", action: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a flow as a token binds them: complete, so that leaving out a default makes no difference."""
    if action == "delete":
        return {"internal_name": given.get("internal_name")}
    if action == "add":
        return spec_of(tmm, given).model_dump(mode="json")
    if not isinstance(given.get("method"), str):
        raise InvalidRunRequest("method: is missing.")
    spec = tmm.service.selectable_method(given["method"]).spec
    defaults = {
        "backend": spec.backends[0],
        **({"base_model": spec.default_base_model} if spec.default_base_model else {}),
        **({"dataset": spec.default_dataset} if spec.default_dataset else {}),
    }
    request = RunRequest.parse(defaults | dict(given))
    options = options_after_defaults(spec.configuration_options, request.options)
    return request.model_dump(mode="json") | {"options": options}
