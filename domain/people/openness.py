"""What rules stand on must belong to whoever runs the installation: what of it lies open to others, and what mends it.

Rules hold for a user only where that user cannot change the licences, the log or the code, nor read what opens them.
The permissions of files and folders are that boundary.
"""

import shlex
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from domain.errors import InstallationLiesOpen, Remedy

_WRITE, _PASS, _ANYTHING = 0o022, 0o011, 0o077


@dataclass(frozen=True)
class Lying:
    """A file or folder as it lies there; `mode` is that of `stat`, `owner` a user's number."""

    path: str
    mode: int
    owner: int


@dataclass(frozen=True)
class Opening:
    """Something that rules stand on and that others may read or change: what it is, in which way, and what mends it."""

    what: str
    words: str
    mended_by: str

    def __str__(self) -> str:
        return f"{self.what}: {self.words}. Mend it with: {self.mended_by}"


def opening_on(way: Sequence[Lying], *, what: str, secret: bool = False, operators: Collection[int]) -> Opening | None:
    """Where others get at the last of these, each of which lies in the one before; None where they do not.

    Others are all but the operators. What they may not change they may read, unless it is `secret`.
    """
    for lying in way:
        last = lying is way[-1]
        if lying.owner not in operators:
            return Opening(what, f"{lying.path} belongs to another user", f'chown -h "$(id -un)" {_quoted(lying)}')
        if stat.S_ISLNK(lying.mode):
            continue
        # In a folder like /tmp nobody removes or renames what is another's.
        sticky = stat.S_ISDIR(lying.mode) and lying.mode & stat.S_ISVTX and not last
        if lying.mode & _WRITE and not sticky:
            mend = f"chmod {'go-rwx' if secret and last else 'go-w'} {_quoted(lying)}"
            return Opening(what, f"others may change {lying.path}", mend)
        if last and secret and lying.mode & _ANYTHING:
            words = f"others may {'look into' if stat.S_ISDIR(lying.mode) else 'read'} {lying.path}"
            return Opening(what, words, f"chmod go-rwx {_quoted(lying)}")
        if is_closed(lying):
            return None
    return None


def is_closed(lying: Lying) -> bool:
    """Whether this is a folder that others do not come through, whatever lies in it."""
    return stat.S_ISDIR(lying.mode) and not lying.mode & (_PASS | _WRITE)


def must_not_lie_open(openings: Sequence[Opening]) -> None:
    """Raise `InstallationLiesOpen` for the first of these, which says how many more there are."""
    if openings:
        more = f" There is more, {len(openings)} in all." if len(openings) > 1 else ""
        raise InstallationLiesOpen(
            f"This is a team's installation (TMM_TEAM), and what its rules stand on lies open to others. "
            f"{openings[0]}.{more}"
        ).but(Remedy("See all of it", "Examine"))


def _quoted(lying: Lying) -> str:
    return shlex.quote(lying.path)
