"""Addresses hold passwords: nothing that is shown, logged or stored does."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from domain.errors import InvalidRunRequest
from infra.explaining import explain
from infra.protection.logs import hide_secrets_in_logs
from infra.settings import CHECKOUT, Settings
from tests.support.people import ALICE, PROVENANCE, method, request
from tests.support.services import Services

SECRET = "h0rse#zyxw/stap%61e@corr3ct?x"
PARTS = ("h0rse", "zyxw", "stap", "corr3ct")


def tmm(home: Path, *args: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "infra.main", *args],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "TMM_HOME": str(home), "TMM_BACKENDS": "cuda"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def tells_nothing(said: str) -> bool:
    return not any(part in said for part in PARTS)


def test_the_doctor_shows_no_password_whatever_characters_it_has(tmp_path: Path) -> None:
    everywhere = {
        "TMM_ARTIFACTS": f"s3://AKIDX:{SECRET}@bucket/models",
        "TMM_SHARED_CHECKPOINTS": f"https://h0rse@host.example/copies?token={SECRET}",
        "TMM_PREFECT_DATABASE_URL": f"postgresql://tmm:{SECRET}@db.example/prefect",
        "PREFECT_API_URL": f"http://tmm:{SECRET}@127.0.0.1:9/api",
        "PREFECT_API_AUTH_STRING": f"tmm:{SECRET}",
    }
    for more in ({}, {"TMM_DATABASE_URL": f"postgresql://tmm:{SECRET}@127.0.0.1:9/tmm"}):
        for arguments in (["doctor"], ["doctor", "--json"]):
            told = tmm(tmp_path, *arguments, **everywhere, **more)
            assert "bucket/models" in told.stdout, told.stderr
            assert tells_nothing(told.stdout + told.stderr), told.stdout + told.stderr


@pytest.mark.sample("hu5h%h0rse")
@pytest.mark.parametrize("password", ["hu5h", "hu5h/h0rse", "hu5h#h0rse", "hu5h@h0rse", "hu5h?h0rse", "hu5h%h0rse"])
def test_an_error_says_no_password_of_an_address(tmp_path: Path, password: str) -> None:
    ways = [
        (["pools"], {"PREFECT_API_URL": f"http://u:{password}@127.0.0.1:9/api"}),
        (["list"], {"TMM_DATABASE_URL": f"postgresql://u:{password}@127.0.0.1:9/tmm"}),
        (["list", "--debug"], {"TMM_DATABASE_URL": f"postgresql://u:{password}@127.0.0.1:9/tmm"}),
        (["list"], {"TMM_PREFECT_DATABASE_URL": f"mysql://u:{password}@127.0.0.1:9/tmm"}),
    ]
    for arguments, environment in ways:
        told = tmm(tmp_path, *arguments, **environment)
        assert told.returncode != 0
        assert "hu5h" not in told.stderr, told.stderr
        assert "h0rse" not in told.stderr, told.stderr


def test_what_outside_things_say_is_explained_without_the_secrets_of_the_settings(tmp_path: Path) -> None:
    import psycopg

    settings = Settings(home=tmp_path, database_url=f"postgresql://tmm:{SECRET}@db/tmm")
    error = psycopg.OperationalError('nobody called "zyxw" is at "corr3ct", and the server said h0rse')
    assert "The database that TMM_DATABASE_URL names" in str(explain(error, settings))
    assert tells_nothing(str(explain(error, settings)))


@pytest.fixture
def unwrapped() -> Iterator[None]:
    factory, hook = logging.getLogRecordFactory(), sys.excepthook
    yield
    logging.setLogRecordFactory(factory)
    sys.excepthook = hook


def test_a_log_holds_no_secret_of_a_message_its_arguments_or_its_traceback(
    tmp_path: Path, unwrapped: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", f"tmm:{SECRET}")
    file, address = tmp_path / "process.log", f"s3://key:{SECRET}@bucket/models"
    settings = Settings(home=tmp_path, artifacts=address)
    for _ in range(2):
        hide_secrets_in_logs(settings)  # a second time changes nothing
    handler = logging.FileHandler(file)
    logger = logging.Logger("of this test")
    logger.addHandler(handler)
    logger.warning("%s does not answer: %d", address, 5)
    logger.warning("the server said zyxw to %s", "tmm")
    try:
        raise OSError(f"nothing at {address}")
    except OSError:
        logger.exception("It failed")
    handler.close()
    told = file.read_text()
    assert "s3://…@bucket/models does not answer: 5" in told
    assert "OSError: nothing at s3://…@bucket/models" in told
    assert tells_nothing(told), told


def test_the_processes_that_write_our_logs_hide_secrets_from_their_start(tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from infra.serving.prefect_process import main\nmain(['server', sys.argv[1]])",
            SECRET,
        ],
        env=os.environ
        | {"PYTHONPATH": str(CHECKOUT), "TMM_HOME": str(tmp_path), "TMM_ARTIFACTS": f"s3://key:{SECRET}@bucket/models"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ValueError: invalid literal for int()" in ended.stderr
    assert tells_nothing(ended.stderr.rpartition("ValueError")[2])


def test_the_store_keeps_no_credentials_of_an_artefacts_address(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    run_id = uuid4()
    service.trainings.request(run_id, request(), by=ALICE)
    service.trainings.start(run_id, PROVENANCE)
    service.trainings.complete(
        run_id,
        artifact=f"s3://key:{SECRET}@bucket/models/{run_id}",
        artifact_hash="0" * 64,
        steps=1,
        metrics={},
        before={},
        after={},
        weights_hash=None,
    )
    assert service.trainings.one(run_id).artifact == f"s3://…@bucket/models/{run_id}"
    stored = service.log.recorder.select_notifications(start=None, limit=100)
    assert tells_nothing("".join(event.state.decode() for event in stored))


def test_a_run_cannot_name_data_by_an_address_that_holds_what_opens_it(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    for address in (f"https://u:{SECRET}@host/rows.jsonl", f"https://host/rows.jsonl?token={SECRET}"):
        with pytest.raises(InvalidRunRequest, match="dataset: holds a password"):
            service.trainings.request(uuid4(), request(dataset=address), by=ALICE)
