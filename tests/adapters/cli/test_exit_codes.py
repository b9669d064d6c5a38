"""Every exit code that scripts rely on, and that an error is one sentence and never a traceback."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from adapters.cli import run
from adapters.cli.commands.trainings.training import must_have_completed
from adapters.cli.errors import EXIT_CODES, FAILED, INTERRUPTED, UNEXPECTED, tell
from domain import errors
from domain.runs.training_run import RunRequest
from infra.service import Service
from infra.settings import Settings
from tests.adapters.cli.conftest import Tmm


def tmm_process(*args: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "infra.main", *args],
        env=os.environ | {"PYTHONWARNINGS": "error"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_0_is_done(home: Path) -> None:
    done = tmm_process("list", "--json", TMM_HOME=str(home))
    assert (done.returncode, done.stderr) == (0, "")


def test_1_is_unexpected_and_debug_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> Service:
        raise RuntimeError("the moon is wrong")

    assert run(broken, ["list"]) == UNEXPECTED
    assert "unexpected went wrong (RuntimeError: the moon is wrong). Append --debug" in capsys.readouterr().err
    assert run(broken, ["list", "--debug"]) == UNEXPECTED
    assert "Traceback" in capsys.readouterr().err


def test_2_is_a_wrong_setting_named_as_it_is_set(home: Path) -> None:
    refused = tmm_process("list", TMM_HOME=str(home), TMM_BACKENDS="tpu", TMM_POLL_SECONDS="often")
    assert refused.returncode == 2
    assert "TMM_BACKENDS" in refused.stderr
    assert "TMM_POLL_SECONDS" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not home.exists()


def test_3_is_refused(home: Path) -> None:
    refused = tmm_process("delete", "custom01", "--yes", TMM_HOME=str(home))
    assert refused.returncode == 3
    assert refused.stderr.count("\n") == 1


def test_5_is_a_database_that_cannot_be_reached_and_its_password_is_not_said(home: Path) -> None:
    url = "postgresql://tmm:s3cret@127.0.0.1:1/tmm"
    refused = tmm_process("list", TMM_HOME=str(home), TMM_DATABASE_URL=url)
    assert refused.returncode == 5
    assert refused.stderr.startswith("error: ")
    assert "s3cret" not in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_5_is_a_file_that_is_no_database(home: Path) -> None:
    home.mkdir()
    (home / "tmm.sqlite").write_bytes(b"not a database at all" * 100)
    refused = tmm_process("list", TMM_HOME=str(home))
    assert refused.returncode == 5
    assert "is not an SQLite database" in refused.stderr


def test_5_is_a_prefect_that_is_not_there_and_nothing_was_requested(tmm: Tmm) -> None:
    refused = tmm("train", "sft-demo")
    assert refused.code == 5
    assert "Start one with: tmm up" in refused.err
    assert tmm("runs", "--json").document == []


def test_6_is_a_training_that_failed(installation: Service) -> None:
    run_id, user = uuid4(), installation.user()
    request = {"method": "sft-demo", "backend": "cuda", "base_model": "small-base", "dataset": "sft-demo"}
    installation.trainings.request(run_id, RunRequest.parse(request), by=user)
    installation.trainings.fail(run_id, "The loss was nan.")
    with pytest.raises(Exception, match="The loss was nan") as failed:
        must_have_completed(installation.trainings.one(run_id))
    assert tell(failed.value, explain=None, debug=False) == FAILED


def test_6_is_a_verification_that_failed_and_every_error_of_ours_has_its_code() -> None:
    def of(error: type[errors.TrainingMethodError]) -> int | None:
        return next((code for kind, code in EXIT_CODES if issubclass(error, kind)), None)

    expected = {
        errors.BadResult: 6,
        errors.CommercialUsersOnly: 3,
        errors.RunRequestChanged: 3,
        errors.InvalidLicence: 3,
        errors.MethodNotFound: 4,
        errors.MethodNotSelectable: 4,
        errors.RunNotFound: 4,
        errors.MethodAlreadyExists: 2,
        errors.InvalidConfigurationOptions: 2,
        errors.InvalidDataset: 2,
        errors.InvalidSettings: 2,
        errors.BackendUnavailable: 5,
        errors.DatabaseUnavailable: 5,
        errors.PrefectUnavailable: 5,
    }
    assert {error: of(error) for error in expected} == expected


def test_130_is_interrupted(home: Path) -> None:
    def interrupted() -> Service:
        raise KeyboardInterrupt

    assert run(interrupted, ["list"]) == INTERRUPTED


def test_a_reader_who_stops_reading_is_no_error(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.main", "list"],
        env=os.environ | {"TMM_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_doctor_ends_with_5_while_something_is_missing_and_names_it(tmm: Tmm, site: Settings) -> None:
    answer = tmm("doctor")
    assert answer.code == 5
    assert "--  Prefect: No server is known here. Start one with: tmm up" in answer.out
    assert "ok  database" in answer.out
    assert "Not as it should be: Prefect" in answer.err
    for name in Settings.model_fields:
        assert f"TMM_{name.upper()}" in answer.out
