"""`tmm doctor` says whether methods' own code is confined on this machine."""

from pathlib import Path

import pytest

from adapters.shared import confinement
from infra.protection import confined_here
from infra.protection.confined_here import confinement_check


@pytest.mark.skipif(bool(confinement.missing()), reason=confinement.missing())
def test_where_it_is_confined_that_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = confinement_check(tmp_path)
    assert found.ok
    assert "Confined by Landlock" in found.words

    monkeypatch.setattr(confined_here, "_TRIES", "import sys; sys.exit(3)")
    assert not confinement_check(tmp_path).ok
    monkeypatch.undo()
    in_the_system = confinement_check(Path("/usr/share"))
    assert not in_the_system.ok
    assert "TMM_HOME" in in_the_system.words


def test_where_it_is_not_what_stays_possible_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "missing", lambda: "the kernel has no Landlock")
    found = confinement_check(tmp_path)
    assert found.ok
    assert found.words.startswith("Not confined here: the kernel has no Landlock.")
    assert "use the network" in found.words
