"""From events to rows: one `match` for each read model. Everything here is pure, so that a rebuild is identical."""

import hashlib
import json
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from domain.audit.operations import (
    ActingTokenUsed,
    CheckpointMade,
    ClockAccepted,
    KeyPurpose,
    KeyTrusted,
    LicenceInstalled,
    LicenceRemoved,
    LogExported,
    NameFreed,
    NameTaken,
    Operation,
    SignedIn,
    SignedOut,
    ViewsRebuilt,
    Way,
)
from domain.audit.read_models import Head, Insert, Remove, RowChange, Table, Update
from domain.audit.refusals import ActionRefused
from domain.audit.unreadable import unreadable_entry
from domain.catalogue.method_spec import Change, MethodSpec
from domain.catalogue.training_method import TrainingMethod
from domain.events import DomainEvent, RecordedEvent
from domain.runs.training_run import RunStatus, TrainingRun


def head_after(recorded: RecordedEvent, *, since: Head) -> Head:
    """Where the log stands with this event."""
    return Head(notification_id=recorded.id, position=since.position + 1, hash=link(since.hash, parts_of(recorded)))


def changes_of(event: DomainEvent | None, recorded: RecordedEvent, head: Head) -> list[RowChange]:
    """The changes that one event, with which the log stands at `head`, makes to all read models.

    An event that cannot be read is None: the audit log says so, and nothing else comes of it.
    """
    return [*methods_and_runs(event, head.position), audit_log(event, recorded, head)]


def methods_and_runs(event: DomainEvent | None, position: int) -> list[RowChange]:
    """Those to the read models of methods and runs."""
    if event is None:
        return []
    return [*selectable_methods(event), *method_versions(event, position), *training_runs(event)]


Parts = tuple[bytes, bytes, bytes, bytes, bytes]
"""All that is stored of an event: its stream, its version there, topic, state, and the moment of recording."""


def parts_of(recorded: RecordedEvent) -> Parts:
    return (
        str(recorded.originator_id).encode(),
        str(recorded.originator_version).encode(),
        recorded.topic.encode(),
        recorded.state,
        recorded.recorded_at.isoformat(timespec="microseconds").encode(),
    )


def link(previous_hash: str, parts: Parts) -> str:
    """The next hash of the chain: sha256 over the one before and all that is stored of the event, with lengths."""
    message = [bytes.fromhex(previous_hash)]
    for part in parts:
        message += (len(part).to_bytes(8, "big"), part)
    return hashlib.sha256(b"".join(message)).hexdigest()


def selectable_methods(event: DomainEvent) -> list[RowChange]:
    table: Table = "selectable_methods"
    key = event.originator_id
    match event:
        case (
            TrainingMethod.Preinstalled(spec=spec)
            | TrainingMethod.Added(spec=spec)
            | TrainingMethod.AddedAgain(spec=spec)
        ):
            row = {"method_id": key, **_method(event, spec), "preinstalled": _is_preinstalled(event)}
            return [Insert(table, row)]
        case TrainingMethod.Modified(spec=spec):
            return [Update(table, key, _method(event, spec))]
        case TrainingMethod.Deleted():
            return [Remove(table, key)]
    return []


def _method(event: DomainEvent, spec: MethodSpec) -> dict[str, Any]:
    return {"internal_name": spec.internal_name, "spec": spec, "version": event.originator_version}


def _is_preinstalled(event: DomainEvent) -> bool:
    return isinstance(event, TrainingMethod.Preinstalled)


def method_versions(event: DomainEvent, position: int) -> list[RowChange]:
    """Every form that a method ever had, each with the positions between which it was selectable."""
    table: Table = "method_versions"
    match event:
        case (
            TrainingMethod.Preinstalled(spec=spec)
            | TrainingMethod.Added(spec=spec)
            | TrainingMethod.AddedAgain(spec=spec)
        ):
            return [Insert(table, _version(event, spec, position))]
        case TrainingMethod.Modified(spec=spec):
            return [_ended(event, position), Insert(table, _version(event, spec, position))]
        case TrainingMethod.Deleted():
            return [_ended(event, position)]
    return []


def _ended(event: DomainEvent, position: int) -> RowChange:
    """The version before this event's is over."""
    return Update("method_versions", _version_id(event, event.originator_version - 1), {"until": position})


def _version(event: DomainEvent, spec: MethodSpec, position: int) -> dict[str, Any]:
    return {
        "version_id": _version_id(event, event.originator_version),
        "method_id": event.originator_id,
        **_method(event, spec),
        # A modification leaves this as it was.
        "preinstalled": None if isinstance(event, TrainingMethod.Modified) else _is_preinstalled(event),
        "since": position,
        "until": None,
    }


def _version_id(event: DomainEvent, version: int) -> UUID:
    return uuid5(event.originator_id, str(version))


def training_runs(event: DomainEvent) -> list[RowChange]:  # noqa: PLR0911 -- one return a kind of event
    table: Table = "training_runs"
    key, when = event.originator_id, event.timestamp
    match event:
        case TrainingRun.Requested(request=request):
            row = {
                "run_id": key,
                "method": request.method,
                "status": RunStatus.REQUESTED,
                "request": request,
                "requested_by": event.by.name,
                "requested_at": when,
            }
            return [Insert(table, row)]
        case TrainingRun.Started(method_version=version, options=options, provenance=provenance):
            row = {
                "status": RunStatus.RUNNING,
                "started_at": when,
                "method_version": version,
                "options": options,
                "provenance": provenance,
            }
            return [Update(table, key, row)]
        case TrainingRun.Resumed():
            return [
                Update(
                    table, key, {"status": RunStatus.RUNNING, "finished_at": None, "reason": None, "interrupted": None}
                )
            ]
        case TrainingRun.Completed():
            row = {
                "status": RunStatus.COMPLETED,
                "finished_at": when,
                "steps": event.steps,
                "artifact": event.artifact,
                "artifact_hash": event.artifact_hash,
                "weights_hash": event.weights_hash,
                "metrics": event.metrics,
                "before": event.before,
                "after": event.after,
                "measured": event.measured,
            }
            return [Update(table, key, row)]
        case TrainingRun.Measured(before=before, after=after):
            return [Update(table, key, {"before": before, "after": after, "measured": True})]
        case TrainingRun.Failed(reason=reason, interrupted=interrupted):
            row = {"status": RunStatus.FAILED, "finished_at": when, "reason": reason, "interrupted": interrupted}
            return [Update(table, key, row)]
        case TrainingRun.Cancelled(reason=reason):
            row = {"status": RunStatus.CANCELLED, "finished_at": when, "reason": reason, "interrupted": None}
            return [Update(table, key, row)]
    return []


def audit_log(event: DomainEvent | None, recorded: RecordedEvent, head: Head) -> Insert:
    if event is None:
        return unreadable_entry(recorded, head)
    action, subject_type, subject_name, changes, reason = _what_happened(event)
    by = event.by
    run_id = event.originator_id if isinstance(event, TrainingRun.Requested | TrainingRun.Event) else None
    return Insert(
        "audit_log",
        {
            "position": head.position,
            "notification_id": head.notification_id,
            "occurred_at": event.timestamp,
            "recorded_at": recorded.recorded_at,
            "actor": by.name,
            "edition": by.entitlement.edition,
            "licence_id": by.entitlement.licence_id,
            "key_id": by.entitlement.key_id,
            "origin": by.origin,
            "flow_run_id": by.flow_run_id,
            "action": action,
            "subject_type": subject_type,
            "subject_id": event.originator_id,
            "subject_name": subject_name,
            "method": subject_name if subject_type in ("method", "run") else None,
            "run_id": run_id,
            "outcome": "refused" if isinstance(event, ActionRefused) else "done",
            "reason": reason,
            "command_id": event.command_id,
            "correlation_id": run_id or by.flow_run_id or event.command_id,
            "changes": changes,
            "schema_version": _schema_version(recorded.state),
            "sentence": sentence(event),
            "hash": head.hash,
        },
    )


def _schema_version(state: bytes) -> int:
    # Only events of a class that changed its fields say so, at their end.
    return int(json.loads(state)["class_version"]) if b'"class_version":' in state[-24:] else 1


def subject_of(event: DomainEvent) -> str:
    """The name of what the event is about, as the audit log has it."""
    return _what_happened(event)[2]


_What = tuple[str, str, str, tuple[Change, ...], str | None]


def _what_happened(event: DomainEvent) -> _What:  # noqa: PLR0911, PLR0912 -- one return a kind of event
    """Action, subject type, subject name, changes and reason. A refusal carries the action that was tried."""
    match event:
        case TrainingMethod.Preinstalled(spec=spec):
            return "preinstall", "method", spec.internal_name, _all_new(spec), None
        case TrainingMethod.Added(spec=spec):
            return "add", "method", spec.internal_name, _all_new(spec), None
        case TrainingMethod.AddedAgain(spec=spec):
            return "add-again", "method", spec.internal_name, _all_new(spec), None
        case TrainingMethod.Modified(spec=spec, changes=changes):
            return "modify", "method", spec.internal_name, changes, None
        case TrainingMethod.Deleted(internal_name=name):
            return "delete", "method", name, (), None
        case TrainingRun.Requested(method=method, request=request):
            return "request", "run", method, _all_new(request), None
        case TrainingRun.Started(method=method):
            return "start", "run", method, (), None
        case TrainingRun.Resumed(method=method):
            return "resume", "run", method, (), None
        case TrainingRun.Completed(method=method):
            return "complete", "run", method, (), None
        case TrainingRun.Measured(method=method):
            return "measure", "run", method, (), None
        case TrainingRun.Failed(method=method, reason=reason):
            return "fail", "run", method, (), reason
        case TrainingRun.Cancelled(method=method, reason=reason):
            return "cancel", "run", method, (), reason
        case ActionRefused(tried=tried):
            changes = tuple(Change(field=field, before=None, after=value) for field, value in tried.items())
            return event.action, event.subject_type, event.subject_name, changes, event.reason
        case LicenceInstalled():
            return "install-licence", "licence", event.licence_id, _facts(event), None
        case LicenceRemoved(reason=reason):
            return "remove-licence", "licence", event.licence_id, (), reason
        case KeyTrusted():
            return "trust-key", "key", event.key_id, _facts(event), None
        case ViewsRebuilt():
            return "rebuild", "views", "views", _facts(event), None
        case LogExported():
            return "export", "log", "audit log", _facts(event), None
        case CheckpointMade():
            return "checkpoint", "log", "audit log", _facts(event), None
        case ClockAccepted():
            return "accept-clock", "log", "audit log", _facts(event), None
        case ActingTokenUsed(token_id=token):
            return "use-token", "token", token, _facts(event), None
        case SignedIn():
            return "sign-in", "person", event.by.name, _facts(event), None
        case SignedOut(person=person):
            return "sign-out", "person", person, _facts(event), None
        case NameTaken(name=name):
            return "take-name", "person", name, _facts(event), None
        case NameFreed(name=name):
            return "free-name", "person", name, _facts(event), None
    raise TypeError(f"no projection knows the event {type(event).__qualname__}")


def _facts(event: Operation) -> tuple[Change, ...]:
    facts = event.model_dump(mode="json", exclude_none=True, exclude=set(DomainEvent.model_fields))
    return tuple(Change(field=field, before=None, after=after) for field, after in facts.items())


def _all_new(value: MethodSpec | Any) -> tuple[Change, ...]:
    fields: dict[str, Any] = value.model_dump(mode="json", exclude_none=True)
    return tuple(Change(field=field, before=None, after=after) for field, after in fields.items())


def sentence(event: DomainEvent) -> str:
    """What happened, as one sentence for people."""
    by = event.by
    licence = f" under licence {by.entitlement.licence_id}" if by.entitlement.licence_id else ""
    return f"{by.name} {_deed(event)}{licence}{_FROM.get(by.origin, '')}"


_FROM = {
    "command line": " from the command line",
    "flow": " from a flow",
    "page": " at the page",
    "python": " from Python",
}


_BY_WAY = {
    Way.LOCAL_KEY: "the key of this machine",
    Way.OPENID: "OpenID Connect",
    Way.PROXY: "the proxy in front of the page",
}


def _deed(event: DomainEvent) -> str:  # noqa: PLR0911, PLR0912 -- one return a kind of event
    by = event.by
    match event:
        case TrainingMethod.Preinstalled(spec=spec):
            return f"preinstalled {spec.display_name} ({spec.trainer})"
        case TrainingMethod.Added(spec=spec):
            return f"added {spec.display_name} ({spec.trainer})"
        case TrainingMethod.AddedAgain(spec=spec):
            return f"added {spec.display_name} ({spec.trainer}) again"
        case TrainingMethod.Modified(spec=spec, changes=changes):
            return f"modified {', '.join(change.field for change in changes)} of {spec.display_name}"
        case TrainingMethod.Deleted(display_name=display_name):
            return f"deleted {display_name}"
        case TrainingRun.Requested(request=request):
            return f"requested a training with {request.method} on {request.backend}"
        case TrainingRun.Started(method=method, method_version=version):
            return f"started a training with {method} (version {version})"
        case TrainingRun.Resumed(method=method, step=step):
            return f"resumed a training with {method} from step {step}"
        case TrainingRun.Completed(method=method, steps=steps):
            return f"completed a training with {method} after {steps} steps"
        case TrainingRun.Measured(method=method):
            return f"measured a training with {method} that had completed unmeasured"
        case TrainingRun.Failed(method=method):
            return f"saw a training with {method} fail"
        case TrainingRun.Cancelled(method=method):
            return f"cancelled a training with {method}"
        case ActionRefused(subject_type="page", action=action):
            return "was refused to sign in" if action == "sign-in" else "was turned away"
        case ActionRefused(action=action, subject_name=name):
            return f"was refused to {action} {name}"
        case LicenceInstalled(licence_id=licence, customer=customer, replaces=None):
            return f"installed licence {licence} of {customer}"
        case LicenceInstalled(licence_id=licence, customer=customer, replaces=replaced):
            return f"installed licence {licence} of {customer} in the place of {replaced}"
        case LicenceRemoved(licence_id=licence):
            return f"removed licence {licence}"
        case KeyTrusted(purpose=KeyPurpose.LICENCE, key_id=key):
            return f"trusted key {key} to sign licences"
        case KeyTrusted(key_id=key):
            return f"trusted key {key} to say for whom a program acts"
        case ViewsRebuilt(position=position, agreed=agreed):
            outcome = "as they were" if agreed else "and they do not agree with what they were"
            return f"rebuilt the views up to entry {position}, {outcome}"
        case LogExported(format=name, first=first, last=last):
            return f"exported entries {first} to {last} as {name}"
        case CheckpointMade(position=position):
            return f"signed a checkpoint at entry {position}"
        case ClockAccepted(newest=newest, accepted=accepted):
            return f"accepted the clock at {_second(accepted)}, where time had come to {_second(newest)}"
        case ActingTokenUsed(action=action, token_id=token):
            return f"let a program {action} with token {token}"
        case SignedIn(way=way):
            return f"signed in by {_BY_WAY[way]}"
        case SignedOut(person=person) if person == by.name:
            return "signed out"
        case SignedOut(person=person, sessions=sessions):
            return f"ended {sessions} session{'s' if sessions != 1 else ''} of {person}"
        case NameTaken(name=name, issuer=issuer):
            return f"took the name {name}, as {issuer} knows them"
        case NameFreed(name=name):
            return f"freed the name {name}"
    raise TypeError(f"no sentence tells of the event {type(event).__qualname__}")


def _second(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
