"""Sign-ins that were begun at a provider and did not come back yet: each belongs to one browser, and ends once."""

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

COUNTS_FOR_S = 600
_MOST = 10_000


@dataclass(frozen=True)
class Pending:
    """What must come back: the nonce in the token, and from us what only we know of this sign-in."""

    nonce: str
    verifier: str
    to: str
    browser_hash: bytes
    began_s: float


class PendingSignIns:
    """They live in this process: after a restart, a sign-in that was under way is begun again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pending: OrderedDict[str, Pending] = OrderedDict()
        self._one_at_a_time = threading.Lock()

    def begin(self, *, browser: str, to: str) -> tuple[str, Pending]:
        """A new state, and what belongs to it; `browser` is a secret that its browser keeps in a cookie."""
        state = secrets.token_urlsafe(32)
        pending = Pending(
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            to=to,
            browser_hash=_hash(browser),
            began_s=self._clock(),
        )
        with self._one_at_a_time:
            self._pending[state] = pending
            while len(self._pending) > _MOST:
                self._pending.popitem(last=False)
        return state, pending

    def end(self, state: str, *, browser: str) -> Pending | None:
        """What belongs to this state, once, for its own browser and within ten minutes; else None."""
        with self._one_at_a_time:
            found = self._pending.get(state)
            if found is None or not hmac.compare_digest(found.browser_hash, _hash(browser)):
                return None  # another browser does not spoil it for its own
            del self._pending[state]
        return found if self._clock() - found.began_s <= COUNTS_FOR_S else None


def _hash(browser: str) -> bytes:
    return hashlib.sha256(browser.encode()).digest()
