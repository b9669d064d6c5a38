"""A new installation, on both databases."""

import pytest

from domain.errors import DatabaseUnavailable
from infra.settings import Settings
from infra.wiring import Installation

PREINSTALLED = ["custom01", "custom02", "grpo-demo", "mlx-demo", "sft-demo"]


def names(installation: Installation) -> list[str]:
    return [method.spec.internal_name for method in installation.catalogue.selectable()]


def test_a_migrated_installation_offers_the_preinstalled_methods(installation: Installation) -> None:
    assert names(installation) == PREINSTALLED
    assert [entry.action for entry in installation.auditing.entries()] == ["preinstall"] * 5


def test_migrating_again_changes_nothing(installation: Installation) -> None:
    before = installation.auditing.entries()
    assert installation.migrate() == []
    assert installation.auditing.entries() == before


def test_the_embedded_store_makes_itself_ready(tmp_path) -> None:
    with Installation(Settings(home=tmp_path / "new", backends="cuda,mlx")) as installation:
        assert names(installation) == PREINSTALLED


def test_a_postgresql_without_tables_asks_for_migrate(postgres_url: str, tmp_path) -> None:
    with (
        Installation(Settings(home=tmp_path, database_url=postgres_url)) as installation,
        pytest.raises(DatabaseUnavailable, match="tmm migrate"),
    ):
        installation.catalogue.selectable()


def test_an_unreachable_postgresql_is_said_to_be_so_without_its_password(tmp_path) -> None:
    url = "postgresql://someone:secret@127.0.0.1:1/nowhere"
    with (
        Installation(Settings(home=tmp_path, database_url=url)) as installation,
        pytest.raises(DatabaseUnavailable, match="cannot be reached") as refused,
    ):
        installation.catalogue.selectable()
    assert "secret" not in str(refused.value)
