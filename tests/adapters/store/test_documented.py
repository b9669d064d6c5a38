"""What auditors read in SQL is documented: every table, and every column of the audit log."""

from pathlib import Path

from adapters import store
from tests.support.people import ALICE, method
from tests.support.services import Services

DOCUMENTED = (Path(store.__file__).parent / "VIEWS.md").read_text()
TABLES = ("selectable_methods", "method_versions", "training_runs", "audit_log", "audit_counts", "audit_index")


def test_every_table_and_every_column_of_the_audit_log_is_documented(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    (entry,) = service.log.views.rows("audit_log")
    assert [column for column in entry if f"`{column}`" not in DOCUMENTED] == []
    assert [table for table in TABLES if table not in DOCUMENTED] == []


def test_every_action_is_documented(service: Services) -> None:
    (actions,) = (line for line in DOCUMENTED.splitlines() if line.startswith("| `action` |"))
    named = actions.split("|")[2].strip().split(", ")
    assert len(named) == len(set(named)) == 24
