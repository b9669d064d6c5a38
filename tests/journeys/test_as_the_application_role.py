"""The whole service as a user of PostgreSQL who owns nothing there: only `tmm migrate` was the owner's."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from domain.read_models import AuditQuery
from domain.training_run import RunStatus
from infra.settings import Settings
from infra.wiring import Installation
from tests.conftest import PostgresServer
from tests.journeys.conftest import Machine

pytestmark = pytest.mark.journey


@pytest.fixture
def machine(postgres_server: PostgresServer, postgres_url: str, tmp_path: Path) -> Iterator[Machine]:
    """A `tmm up` that reaches a migrated database as a user with the role `tmm_application`, and nothing more."""
    with Installation(Settings(home=tmp_path / "owner", database_url=postgres_url, backends="cuda")) as owner:
        owner.migrate()
    user = f"service_{uuid4().hex[:8]}"
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {user} LOGIN IN ROLE tmm_application")
        owned_by = str(connection.info.user)
    url = postgres_url.replace(f"://{owned_by}:", f"://{user}:")
    assert user in url
    machine = Machine(tmp_path / "home", more={"TMM_DATABASE_URL": url})
    try:
        machine.start_up()
        yield machine
    finally:
        machine.stop()
        with psycopg.connect(postgres_server.url, autocommit=True) as connection:
            connection.execute(f"DROP ROLE {user}")


def test_the_application_role_serves_trains_and_proves(machine: Machine, tiny: Path) -> None:
    options = ("--set", "max_steps=2", "--set", "batch_size=4")
    started = machine.tmm("train", "sft-demo", "--dataset", str(tiny), *options, "--no-wait")
    assert started.returncode == 0, started.stderr
    run_id = UUID(started.stdout.strip())
    assert machine.ended(run_id).status is RunStatus.COMPLETED
    changed = machine.tmm("modify", "custom01", "--description", "Changed by the service's own user.")
    assert changed.returncode == 0, changed.stderr
    rebuilt, verified = machine.tmm("rebuild"), machine.tmm("audit", "verify")
    assert (rebuilt.returncode, verified.returncode) == (0, 0), rebuilt.stderr + verified.stdout
    with Installation(machine.settings) as tmm:
        actions = [entry.action for entry in tmm.service.audit(AuditQuery(run=run_id))]
    assert actions == ["request", "start", "complete"]
    assert "permission denied" not in (machine.home / "up.out").read_text()
