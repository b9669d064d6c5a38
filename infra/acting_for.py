"""Who acts when a program acts for a person: the subject of a signed token, for exactly this command and parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.catalogue.options import options_after_defaults
from domain.errors import InvalidInput, InvalidRunRequest, NotFound, TokenDoesNotHold
from domain.people.acting import ActingForPersons, ActingToken
from domain.people.users import User
from domain.printable import printable
from domain.runs.training_run import RunRequest
from domain.use_cases.methods import START_FROM

if TYPE_CHECKING:
    from infra.wiring import Installation

ACTIONS = ("train", "add", "delete")
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Acting:
    """Who acts in a flow run, and the token that lets them, which the command is given too: it is spent with it.

    `answer` tells what the token led to before in this same flow run: then nothing is left to be done.
    """

    user: User
    token: ActingToken | None = None
    answer: str | None = None


def acting(tmm: "Installation", token: object, *, action: str, given: Mapping[str, Any]) -> Acting:
    """The person whom the token names, or without a token the flow's own user.

    Raises `TokenDoesNotHold`, after the audit log has it: also for parameters that no command could have. Raises the
    refusal again that the token led to before in this same flow run.
    """
    user = tmm.user()
    if token in (None, ""):
        return Acting(user)
    try:
        signed = tmm.acting_tokens.signed(token)
        held = ActingToken(
            token_id=signed.token_id,
            key_id=signed.key_id,
            action=action,
            expires=signed.expires,
            person=tmm.user(acting_for=signed.person),
            brought_by=user,
        )
        answer = ActingForPersons(tmm.log).answered(held, action=action, name=named(given))
        if answer is None:
            tmm.acting_tokens.must_hold_now(signed, action=action)
            try:
                signed.must_be_for(bound_parameters(tmm, action, given))
            except (InvalidInput, NotFound) as error:
                raise TokenDoesNotHold(f"cannot be for these parameters: {error}") from None
    except TokenDoesNotHold as refusal:
        tmm.commands.record_refused(
            refusal, action="request" if action == "train" else action, name=named(given), tried=given, by=user
        )
        raise
    return Acting(held.person, held, answer)


def named(given: Mapping[str, Any]) -> str:
    """The name of the method that a flow's parameters are about, as it can be recorded whatever was given there."""
    name = given.get("method") or given.get("internal_name") or ""
    return printable(name if isinstance(name, str) else type(name).__name__, at_most=_LONGEST_NAME)


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
        fields = {name: value for name, value in given.items() if name != START_FROM}
        return tmm.catalogue.completed(fields, start_from=given.get(START_FROM) or "").model_dump(mode="json")
    if not isinstance(given.get("method"), str):
        raise InvalidRunRequest("method: is missing.")
    spec = tmm.catalogue.method(given["method"]).spec
    defaults = {
        "backend": spec.backends[0],
        **({"base_model": spec.default_base_model} if spec.default_base_model else {}),
        **({"dataset": spec.default_dataset} if spec.default_dataset else {}),
    }
    request = RunRequest.parse(defaults | dict(given))
    options = options_after_defaults(spec.configuration_options, request.options)
    return request.model_dump(mode="json") | {"options": options}
