"""Writes a golden file for each kind of event that has none. Files that exist are never touched: that is their point.

Run it after adding an event, or a new version of one: python -m tests.adapters.store.make_golden
"""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

from adapters.store.mapper import PydanticMapper
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
    SignedIn,
    SignedOut,
    ViewsRebuilt,
    Way,
)
from domain.audit.refusals import ActionRefused
from domain.catalogue.method_spec import Change
from domain.catalogue.preinstalled import SFT_DEMO
from domain.catalogue.training_method import TrainingMethod
from domain.events import DomainEvent
from domain.people.users import Edition
from domain.runs.training_run import TrainingRun
from tests.adapters.store.test_events import GOLDEN
from tests.support.people import ALICE, BOB, PROVENANCE, method, request

WHEN = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def events() -> list[DomainEvent]:
    common = {
        "originator_id": UUID(int=1),
        "originator_version": 1,
        "timestamp": WHEN,
        "by": ALICE,
        "command_id": UUID(int=2),
    }
    first = common | {"originator_topic": "training-method"}
    run = common | {"method": "sft-support"}
    first_of_run = run | {"originator_topic": "training-run"}
    results = {"metrics": {"loss": 0.5}, "before": {"accuracy": 0.1}, "after": {"accuracy": 0.6}}
    return [
        TrainingMethod.Preinstalled(**first, spec=SFT_DEMO),
        TrainingMethod.Added(**first, spec=method()),
        TrainingMethod.Modified(
            **common, spec=method(description="New"), changes=(Change(field="description", before="Old", after="New"),)
        ),
        TrainingMethod.Deleted(**common, internal_name="sft-support", display_name="SFT Support"),
        TrainingMethod.AddedAgain(**common, spec=method()),
        TrainingRun.Requested(**first_of_run, request=request(options={"max_steps": 5})),
        TrainingRun.Started(**run, method_version=2, options={"max_steps": 5}, provenance=PROVENANCE),
        TrainingRun.Resumed(**run, step=40),
        TrainingRun.Completed(**run, artifact="folder", artifact_hash="e" * 64, steps=5, **results),
        TrainingRun.Measured(**run, before=results["before"], after=results["after"]),
        TrainingRun.Failed(**run, reason="the loss is not finite"),
        TrainingRun.Cancelled(**run, reason="changed my mind"),
        ActionRefused(
            **(common | {"by": BOB}),
            action="delete",
            subject_type="method",
            subject_name="sft-demo",
            reason="bob may not delete SFT-Demo",
            tried={},
        ),
        LicenceInstalled(
            **common,
            licence_id="L-17",
            key_id="K-1",
            customer="ACME",
            users=("alice",),
            edition=Edition.COMMERCIAL,
            not_before=WHEN,
            expires=WHEN + timedelta(days=30),
            replaces="L-16",
        ),
        LicenceRemoved(**common, licence_id="L-17", reason="the contract ended"),
        KeyTrusted(**common, purpose=KeyPurpose.ACTING, key_id="K-3"),
        ViewsRebuilt(**common, position=5, hash="f" * 64, agreed=True),
        LogExported(**common, format="jsonl", first=1, last=5, count=5, hash="f" * 64),
        CheckpointMade(**common, position=5, hash="f" * 64, key_id="K-2"),
        ClockAccepted(**common, newest=WHEN + timedelta(days=900), accepted=WHEN),
        SignedIn(**common, way=Way.OPENID, issuer="https://id.example", subject="17"),
        SignedOut(**common, person="alice", sessions=1),
        NameTaken(**common, name="alice", issuer="https://id.example", subject="17"),
        NameFreed(**common, name="alice", issuer="https://id.example", subject="17"),
        ActingTokenUsed(**common, token_id="T-1", key_id="K-3", action="train", expires=WHEN + timedelta(minutes=5)),
    ]


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for event in events():
        version = getattr(type(event), "class_version", 1)
        file = GOLDEN / f"{event.TOPIC}.v{version}.json"
        if not file.exists():
            stored = PydanticMapper().to_stored_event(event)
            golden = {
                "topic": stored.topic,
                "originator_id": str(stored.originator_id),
                "originator_version": stored.originator_version,
                "state": json.loads(stored.state),
            }
            file.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
