"""What tests of the installation's parts share."""

import pytest

from infra.custom import workshop
from tests.infra.custom.warm import in_a_warm_process


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks need not wait for libraries."""
    monkeypatch.setattr(workshop, "in_a_process", in_a_warm_process)
