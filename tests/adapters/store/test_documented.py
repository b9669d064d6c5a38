"""What auditors read in SQL is documented: every table, and every column of the audit log."""

from pathlib import Path

from adapters import store
from domain.use_cases.service import TrainingMethods
from tests.people import ALICE, method

DOCUMENTED = (Path(store.__file__).parent / "VIEWS.md").read_text()
TABLES = ("selectable_methods", "method_versions", "training_runs", "audit_log", "audit_counts", "audit_index")


def test_every_table_and_every_column_of_the_audit_log_is_documented(service: TrainingMethods) -> None:
    service.add_method(method(), by=ALICE)
    (entry,) = service._views.rows("audit_log")
    assert [column for column in entry if f"`{column}`" not in DOCUMENTED] == []
    assert [table for table in TABLES if table not in DOCUMENTED] == []


def test_every_action_is_documented(service: TrainingMethods) -> None:
    (actions,) = (line for line in DOCUMENTED.splitlines() if line.startswith("| `action` |"))
    named = actions.split("|")[2].strip().split(", ")
    assert len(named) == len(set(named)) == 19
