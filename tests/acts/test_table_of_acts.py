"""Every act of the table, by every way in: what comes of it, what is said, and what is recorded are the same."""

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from domain.audit.read_models import AuditQuery
from domain.people.roles import EVERY_ROLE
from infra.service import Service
from infra.settings import Settings
from tests.acts.table import RUN, TABLE, Case
from tests.acts.ways import WAYS, House, Told, Way, by_anybody, python
from tests.support.people import ALICE, request

Recorded = tuple[Any, ...]
OPERATOR = ALICE.model_copy(update={"roles": EVERY_ROLE})


@dataclass(frozen=True)
class Came:
    """What came of an act: what was told, and the entries that the log got."""

    told: Told | None
    recorded: list[Recorded]


class Site:
    """Installations that are alike, each act in one of its own: copies, since making one takes longer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0
        for licensed in (False, True):
            with Service(self._settings(self._pattern(licensed=licensed))) as tmm:
                tmm.migrate()
                if licensed:
                    _license_everybody(tmm, folder)
                tmm.trainings.request(RUN, request("sft-demo"), by=tmm.user())
        self.by_a_program = cache(lambda act: self.came(TABLE[act], python))

    def came(self, case: Case, way: Way) -> Came:
        """What comes of it by this way in."""
        self._made += 1
        home = self._folder / str(self._made)
        shutil.copytree(self._pattern(licensed=case.licensed), home)
        settings = self._settings(home)
        with House(settings) as tmm:
            for act in case.before:
                tmm.do(act, by=OPERATOR)
            newest = tmm.auditing.up_to()[0]
        told = way(settings, case.prefect, case.act)
        with House(settings) as tmm:
            return Came(told, [_recorded(entry) for entry in tmm.auditing.entries(AuditQuery(after=newest))])

    def _pattern(self, *, licensed: bool) -> Path:
        return self._folder / ("licensed" if licensed else "unlicensed")

    @staticmethod
    def _settings(home: Path) -> Settings:
        return Settings(home=home, backends="cuda,mlx")


def _license_everybody(tmm: Service, folder: Path) -> None:
    tmm.licences.generate_pair(folder / "keys")
    tmm.licences.trust((folder / "keys" / "public.pem").read_bytes())
    out = folder / "everybody.licence"
    tmm.licences.issue(folder / "keys" / "private.pem", customer="Acme", users=["*", "prefect"], days=9, out=out)
    tmm.licences.install(out.read_bytes())


def _recorded(entry: Any) -> Recorded:
    reason = entry.reason
    if entry.action == "cancel" and " cancelled it " in (reason or ""):
        reason = "who cancelled it, and where"
    kept = (entry.action, entry.subject_type, entry.subject_name, entry.outcome, entry.edition, entry.licence_id)
    changes = entry.changes if entry.outcome == "done" else sorted(entry.changes, key=lambda change: change.field)
    return *kept, by_anybody(reason or ""), tuple(changes)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("PREFECT_API_URL", raising=False)
        return Site(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("act", TABLE)
def test_what_comes_of_an_act_is_what_the_table_says(site: Site, act: str) -> None:
    case, came = TABLE[act], site.by_a_program(act)
    assert came.told is not None
    assert (type(came.told.error).__name__ if came.told.error else "") == case.ends
    assert case.records in (None, tuple(action for action, *_ in came.recorded))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("act", TABLE)
def test_an_act_comes_to_the_same_by_every_way_in(site: Site, act: str, way: str) -> None:
    ours, theirs = site.by_a_program(act), site.came(TABLE[act], WAYS[way])
    if (told := theirs.told) is None:
        pytest.skip(f"the {way} does not offer this")
    assert theirs.recorded == ours.recorded
    assert ours.told is not None
    if (error := ours.told.error) is None:
        assert told.done
        assert told.says(ours.told.words)
    else:
        assert not told.done
        assert told.says(str(error))
        assert told.code == told.code_of(error)
