"""What others of the machine can read or change is told by the permissions on the way to it."""

import pytest

from domain.errors import InstallationLiesOpen
from domain.people.openness import Lying, Opening, is_closed, must_not_lie_open, opening_on

ROOT, ME, BOB = 0, 1000, 1001
FOLDER, FILE, LINK = 0o040000, 0o100000, 0o120000


def way(*steps: tuple[str, int, int]) -> list[Lying]:
    return [Lying("/", FOLDER | 0o755, ROOT), *(Lying(path, mode, owner) for path, mode, owner in steps)]


def opening(*steps: tuple[str, int, int], secret: bool = False) -> Opening | None:
    return opening_on(way(*steps), what="the licences", secret=secret, operators={ROOT, ME})


def test_what_only_the_operator_may_change_is_not_open_although_all_may_read_it() -> None:
    assert opening(("/srv", FOLDER | 0o755, ROOT), ("/srv/x", FILE | 0o644, ME)) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o611])
def test_a_secret_is_open_where_anybody_else_may_read_it(mode: int) -> None:
    found = opening(("/srv", FOLDER | 0o755, ROOT), ("/srv/x y", FILE | mode, ME), secret=True)
    assert str(found) == "the licences: others may read /srv/x y. Mend it with: chmod go-rwx '/srv/x y'"
    assert opening(("/srv", FOLDER | 0o700, ME), ("/srv/x y", FILE | mode, ME), secret=True) is None


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o622])
def test_whoever_may_write_may_change_it(mode: int) -> None:
    found = opening(("/srv", FOLDER | 0o755, ROOT), ("/srv/x", FILE | mode, ME))
    assert str(found) == "the licences: others may change /srv/x. Mend it with: chmod go-w /srv/x"


def test_a_folder_on_the_way_that_others_may_write_lets_them_put_another_in_its_place() -> None:
    steps = ("/srv", FOLDER | 0o775, ROOT), ("/srv/x", FOLDER | 0o700, ME)
    found = opening(*steps)
    assert found is not None
    assert found.mended_by == "chmod go-w /srv"
    # Where nobody removes what is another's, as in /tmp, that is not so;
    # but whoever may write the thing itself may change it.
    assert opening(("/tmp", FOLDER | 0o1777, ROOT), ("/tmp/x", FOLDER | 0o755, ME)) is None
    assert opening(("/tmp", FOLDER | 0o1777, ROOT), ("/tmp/x", FOLDER | 0o1777, ME)) is not None


def test_behind_a_closed_folder_nothing_lies_open() -> None:
    assert opening(("/srv", FOLDER | 0o700, ME), ("/srv/x", FILE | 0o666, ME), secret=True) is None
    assert opening(("/srv", FOLDER | 0o711, ME), ("/srv/x", FILE | 0o666, ME)) is not None
    assert is_closed(Lying("/srv", FOLDER | 0o744, ME))
    assert not is_closed(Lying("/srv", FILE | 0o600, ME))


def test_what_another_owns_is_the_others_whatever_its_mode() -> None:
    found = opening(("/srv", FOLDER | 0o700, BOB), ("/srv/x", FILE | 0o600, ME))
    assert found is not None
    assert found.words == "/srv belongs to another user"
    assert opening(("/tmp", FOLDER | 0o1777, ROOT), ("/tmp/x", FOLDER | 0o700, BOB)) is not None
    assert opening(("/srv", LINK | 0o777, BOB), ("/srv/x", FILE | 0o600, ME)) is not None
    assert opening(("/srv", LINK | 0o777, ME), ("/srv/x", FILE | 0o600, ME)) is None


def test_the_refusal_names_the_first_and_says_how_many_there_are() -> None:
    must_not_lie_open([])
    first, second = Opening("a", "others may read /a", "chmod go-rwx /a"), Opening("b", "others may read /b", "…")
    with pytest.raises(InstallationLiesOpen, match=r"a: others may read /a\. Mend it with: chmod go-rwx /a\.$"):
        must_not_lie_open([first])
    with pytest.raises(InstallationLiesOpen, match=r"chmod go-rwx /a\. There is more, 2 in all\."):
        must_not_lie_open([first, second])
