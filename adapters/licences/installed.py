"""The licences of this installation: what they make of a user, and how they come, go and are shown."""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.licences.files import Unusable, must_be_small, read_small, write_new, write_whole
from adapters.licences.keys import TrustStore, generate_pair, key_id_of, private_key
from domain.clock import Clock, MachineClock
from domain.errors import DatabaseUnavailable, InvalidLicence
from domain.people.licences import Licence, LicenceStanding
from domain.people.users import Edition, Entitlement

SUFFIX = ".licence"
MOST_FILES = 100
"""A folder with more licences than this is not searched to its end."""

_REASONS_TOLD = 3


class InstalledLicences:
    """The licences of this installation, checked against the public keys of its trust store."""

    def __init__(self, folder: Path, trust_store: Path, clock: Clock | None = None) -> None:
        self._folder = folder
        self._trusted = TrustStore(trust_store)
        self._clock = clock or MachineClock()

    def entitlement_of(self, user_name: str) -> Entitlement:
        """What a user may do now. Whatever does not hold makes a noncommercial user, with the reason."""
        try:
            time = self._clock.time()
            standings = self._standings(user_name, time.now)
        except DatabaseUnavailable as error:
            return Entitlement.noncommercial(f"it cannot be told what time it is: {error}")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            return Entitlement.noncommercial(f"the folder of the licences cannot be read: {reason}")
        holding = [s.licence for s in standings if s.problem is None and s.licence is not None]
        if holding:
            best = max(holding, key=lambda licence: (licence.expires, licence.licence_id))
            return Entitlement(
                edition=Edition.COMMERCIAL,
                licence_id=best.licence_id,
                key_id=best.key_id,
                because=f"the licence {best.licence_id} of {best.customer} holds until {best.expires:%Y-%m-%d}",
            )
        if not standings:
            return Entitlement.noncommercial("no licence is installed")
        told = [f"the licence {s.file} {s.problem}" for s in standings[:_REASONS_TOLD]]
        more = len(standings) - len(told)
        if more:
            told.append(f"and {more} more do not hold")
        if time.problem:
            told.append(time.problem)
        return Entitlement.noncommercial("; ".join(told))

    def standings(self, user_name: str) -> Sequence[LicenceStanding]:
        """Every installed file, by name, and how it stands for a user at this moment. Raises `OSError`."""
        return self._standings(user_name, self._now())

    def install(self, content: bytes, *, called: str = "that was given") -> Licence:
        """Take a licence in, also one whose time is still to come; `called` names it in errors.

        Raises `InvalidLicence` when its signature does not hold or its time is over; nothing is installed then.
        """
        from adapters.licences.tokens import verify

        try:
            must_be_small(content)
            licence = verify(content, self._trusted)
        except Unusable as error:
            advice = " Trust its issuer's key with: tmm licence trust PUBLIC_KEY" if "trust store" in str(error) else ""
            raise InvalidLicence(f"The licence {called} {error}.{advice}") from None
        if licence.expires <= self._now():
            raise InvalidLicence(f"The licence {called} expired on {licence.expires:%Y-%m-%d}. Ask for a new one.")
        self._must_be_the_issuers_own(licence)
        try:
            write_whole(self._folder / f"{licence.licence_id}{SUFFIX}", content)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InvalidLicence(f"The licence cannot be put into {self._folder}: {reason}.") from None
        return licence

    def _must_be_the_issuers_own(self, licence: Licence) -> None:
        """Raise `InvalidLicence` where another issuer's licence has this id: the log could not tell them apart."""
        from adapters.licences.tokens import issuer_claimed

        issuers: dict[str, str] = {}
        with suppress(OSError):  # then nothing can be put there either, which is said
            for standing in self.standings(""):
                if standing.licence is not None and standing.licence.licence_id == licence.licence_id:
                    issuers[standing.file] = standing.licence.key_id
        file = f"{licence.licence_id}{SUFFIX}"
        with suppress(Unusable):  # also one that does not hold any more is not silently replaced by a stranger's
            if claimed := issuer_claimed(read_small(self._folder / file, follow=False)):
                issuers[file] = claimed
        for there, key_id in issuers.items():
            if key_id != licence.key_id:
                raise InvalidLicence(
                    f"The licence {licence.licence_id} is signed with the key {licence.key_id}, and {there} is another "
                    f"issuer's of the same id, signed with {key_id}. Ask for one with an id of its own, or remove the "
                    f"other first with: tmm licence remove {there.removesuffix(SUFFIX)}"
                )

    def remove(self, name: str) -> LicenceStanding:
        """Take an installed licence out, by its id or its file's name; what was removed. Raises `InvalidLicence`."""
        wanted = name.removesuffix(SUFFIX) + SUFFIX
        with suppress(OSError):
            if wanted in self._names():
                file = self._folder / wanted
                removed = self._standing(file, "", self._now())
                try:
                    file.unlink()
                except OSError as error:
                    reason = (error.strerror or str(error)).lower()
                    raise InvalidLicence(f"The licence {file} cannot be removed: {reason}.") from None
                return removed
        raise InvalidLicence(f"No licence {name!r} is installed. See the ones that are with: tmm licence show")

    def trusted_keys(self) -> Sequence[str]:
        """The ids of the keys in the trust store, by whatever way they came there. Raises `OSError`."""
        return self._trusted.key_ids()

    # For those who issue licences.

    def generate_pair(self, folder: Path) -> str:
        """An issuer's key pair as `private.pem` and `public.pem`; its key id. Raises `InvalidLicence`."""
        return generate_pair(folder)

    def trust(self, content: bytes, *, called: str = "that was given") -> str:
        """Take a public key into the trust store, given as PEM; its key id. Raises `InvalidLicence`."""
        return self._trusted.trust(content, called=called)

    def file_of(self, key_id: str) -> Path:
        """The file of a key in the trust store."""
        return self._trusted.file_of(key_id)

    def issue(self, key: Path, *, customer: str, users: Sequence[str], days: int, out: Path) -> Licence:
        """Write a licence that holds from now on for some days, signed with a private key. Raises `InvalidLicence`."""
        from pydantic import ValidationError

        from adapters.licences.tokens import sign

        signing, now = private_key(key), datetime.now(UTC).replace(microsecond=0)
        try:
            licence = Licence(
                licence_id=f"L-{secrets.token_hex(4)}",
                customer=customer,
                users=tuple(dict.fromkeys(users)),
                edition=Edition.COMMERCIAL,
                not_before=now,
                expires=now + timedelta(days=days),
                key_id=key_id_of(signing.public_key()),
            )
        except OverflowError:
            raise InvalidLicence(f"{days} days are too many to count.") from None
        except ValidationError:
            raise InvalidLicence("A licence needs a customer and users, each of 1 to 200 characters.") from None
        try:
            write_new(out, sign(licence, signing, issued_at=now), mode=0o644)
        except FileExistsError:
            raise InvalidLicence(
                f"{out} exists already, and licences are never overwritten. Name another file."
            ) from None
        except OSError as error:
            raise InvalidLicence(f"{out} cannot be written: {(error.strerror or str(error)).lower()}.") from None
        return licence

    def _now(self) -> datetime:
        """For what is shown, put in place and taken out, also while the database is away; what counts is asked anew."""
        try:
            return self._clock.time().now
        except DatabaseUnavailable:
            return datetime.now(UTC)

    def _standings(self, user_name: str, now: datetime) -> list[LicenceStanding]:
        return [self._standing(self._folder / name, user_name, now) for name in self._names()]

    def _names(self) -> list[str]:
        try:
            found = sorted(name for name in os.listdir(self._folder) if name.endswith(SUFFIX))
        except FileNotFoundError:
            return []
        return found[:MOST_FILES]

    def _standing(self, file: Path, user_name: str, now: datetime) -> LicenceStanding:
        from adapters.licences.tokens import verify

        shown = os.fsencode(file.name).decode(errors="replace")
        try:
            licence = verify(read_small(file, follow=False), self._trusted)
        except Unusable as error:
            return LicenceStanding(file=shown, licence=None, problem=str(error))
        return LicenceStanding(file=shown, licence=licence, problem=licence.problem_for(user_name, now=now))
