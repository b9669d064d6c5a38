"""The key that checkpoints are signed with is made once, and never silently replaced."""

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from adapters.licences.keys import generate_pair
from domain.errors import InvalidSettings
from infra.settings import Settings
from infra.wiring import Installation
from tests.support.people import ALICE


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings(home=tmp_path / "home", backends="cuda")) as site:
        site.migrate()
        yield site


def signed(site: Installation) -> tuple[str, Path]:
    """By which key, as a process does that has just started."""
    with Installation(site.settings) as anew:
        checkpoint, file = anew.proof.make_checkpoint(by=ALICE)
        return checkpoint.key_id, file


def only_the_private_key(settings: Settings) -> None:
    (settings.checkpoint_key / "private.pem").unlink()


def the_keys_folder(settings: Settings) -> None:
    rmtree(settings.checkpoint_key)


def the_keys_folder_and_every_checkpoint(settings: Settings) -> None:
    rmtree(settings.checkpoint_key)
    rmtree(settings.checkpoints)


@pytest.mark.parametrize("lose", [only_the_private_key, the_keys_folder, the_keys_folder_and_every_checkpoint])
def test_a_private_key_that_is_gone_is_not_replaced_where_it_has_signed(
    site: Installation, lose: Callable[[Settings], None], tmp_path: Path
) -> None:
    first, _ = signed(site)
    site.operating.rebuild_views(by=ALICE)
    lose(site.settings)
    for sign in (
        lambda: signed(site),
        lambda: Installation(site.settings).proof.export(tmp_path / "log.jsonl", "jsonl", by=ALICE),
    ):
        with pytest.raises(InvalidSettings, match=f"no private.pem, and checkpoints are signed with the key {first}"):
            sign()
    assert not (site.settings.checkpoint_key / "private.pem").exists()


def test_whoever_has_lost_it_goes_on_with_a_new_one_as_the_refusal_says(site: Installation) -> None:
    first, _ = signed(site)
    keys = site.settings.checkpoint_key
    (keys / "private.pem").unlink()
    (keys / "public.pem").rename(keys / f"{first}.pem")
    second = generate_pair(keys)
    site.operating.rebuild_views(by=ALICE)
    assert signed(site)[0] == second
    with Installation(site.settings) as anew:
        assert anew.proof.verify().findings == ()
