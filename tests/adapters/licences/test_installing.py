"""How keys and licences are made, trusted, installed and removed: whole or not at all."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from domain.errors import InvalidLicence
from domain.people.users import Edition
from tests.adapters.licences.conftest import NOW, Issuer, Site


def test_the_whole_way_from_a_key_to_a_commercial_user(site: Site, tmp_path: Path) -> None:
    keys, out = tmp_path / "keys", tmp_path / "acme.licence"
    key_id = site.licences.generate_pair(keys)
    issued = site.licences.issue(keys / "private.pem", customer="Acme", users=["alice", "bob"], days=365, out=out)
    assert site.licences.trust((keys / "public.pem").read_bytes()) == key_id == issued.key_id
    assert site.licences.install(out.read_bytes()) == issued
    assert site.licences.entitlement_of("bob").licence_id == issued.licence_id
    assert site.licences.entitlement_of("eve").edition is Edition.NONCOMMERCIAL
    assert site.licences.remove(issued.licence_id).licence == issued
    assert site.reason("bob") == "no licence is installed"


def test_only_its_owner_can_read_a_private_key(site: Site, tmp_path: Path) -> None:
    site.licences.generate_pair(tmp_path / "keys")
    assert stat.S_IMODE((tmp_path / "keys" / "private.pem").stat().st_mode) == 0o600


def test_keys_are_never_overwritten(site: Site, issuer: Issuer) -> None:
    before = (issuer.folder / "private.pem").read_bytes()
    with pytest.raises(InvalidLicence, match="never overwritten"):
        site.licences.generate_pair(issuer.folder)
    assert (issuer.folder / "private.pem").read_bytes() == before


def test_a_licence_is_never_overwritten_when_issued(site: Site, issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    with pytest.raises(InvalidLicence, match="never overwritten"):
        site.licences.issue(issuer.folder / "private.pem", customer="A", users=["*"], days=1, out=tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"


@pytest.mark.parametrize(
    ("customer", "users", "days"), [("", ["a"], 1), ("A", [], 1), ("A", [""], 1), ("A", ["a"], 10**12)]
)
def test_a_licence_that_could_not_hold_is_not_issued(
    site: Site, issuer: Issuer, tmp_path: Path, customer: str, users: list[str], days: int
) -> None:
    with pytest.raises(InvalidLicence):
        site.licences.issue(
            issuer.folder / "private.pem", customer=customer, users=users, days=days, out=tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_the_private_key_is_not_trusted_by_mistake(site: Site, stranger: Issuer) -> None:
    with pytest.raises(InvalidLicence, match=r"Trust the public\.pem beside it"):
        site.licences.trust((stranger.folder / "private.pem").read_bytes())
    assert not (site.trust_store / f"{stranger.key_id}.pem").exists()


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_neither_trusted_nor_signed_with(site: Site, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(InvalidLicence, match="is no Ed25519 public key"):
        site.licences.trust((tmp_path / "key").read_bytes())
    with pytest.raises(InvalidLicence, match="is no Ed25519 private key"):
        site.licences.issue(tmp_path / "key", customer="A", users=["*"], days=1, out=tmp_path / "out")


def test_a_licence_of_an_unknown_issuer_is_not_installed(site: Site, stranger: Issuer, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(stranger.token())
    with pytest.raises(InvalidLicence, match="Trust its issuer's key with: tmm licence trust"):
        site.licences.install((tmp_path / "x").read_bytes())
    assert not site.folder.exists()


def test_an_expired_licence_is_not_installed(site: Site, issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(issuer.token(expires=NOW - timedelta(days=1)))
    with pytest.raises(InvalidLicence, match="Ask for a new one"):
        site.licences.install((tmp_path / "x").read_bytes())
    assert not site.folder.exists()


def test_a_licence_for_later_can_be_installed_before_its_time(site: Site, issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(issuer.token(not_before=NOW + timedelta(hours=1)))
    site.licences.install((tmp_path / "x").read_bytes())
    assert "holds only from" in site.reason()


def test_installing_a_licence_again_leaves_one(site: Site, issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(issuer.token())
    site.licences.install((tmp_path / "x").read_bytes())
    site.licences.install((tmp_path / "x").read_bytes())
    assert [standing.file for standing in site.licences.standings("alice")] == ["L-1.licence"]


def test_a_licence_that_is_not_there_cannot_be_removed(site: Site) -> None:
    with pytest.raises(InvalidLicence, match="tmm licence show"):
        site.licences.remove("L-1")


def test_removing_takes_no_path(site: Site, issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "outside.licence").write_bytes(issuer.token())
    site.put(issuer.token())
    with pytest.raises(InvalidLicence):
        site.licences.remove("../outside")
    assert (tmp_path / "outside.licence").exists()


def test_a_file_that_is_no_licence_can_be_removed_by_its_name(site: Site) -> None:
    site.put(b"nonsense", "bad.licence")
    assert site.licences.remove("bad.licence").problem is not None
    assert site.reason() == "no licence is installed"


def test_another_issuers_licence_of_the_same_id_is_refused(
    site: Site, issuer: Issuer, stranger: Issuer, tmp_path: Path
) -> None:
    mine, renewed, theirs = (tmp_path / name for name in ("mine", "renewed", "theirs"))
    mine.write_bytes(issuer.token())
    renewed.write_bytes(issuer.token(expires=NOW + timedelta(days=7)))
    theirs.write_bytes(stranger.token(users=("mallory",)))
    site.licences.install(mine.read_bytes())
    site.licences.trust(stranger.public_pem.read_bytes())
    with pytest.raises(InvalidLicence, match="another issuer's of the same id"):
        site.licences.install(theirs.read_bytes())
    site.licences.install(renewed.read_bytes())  # its own issuer renews it
    (site.trust_store / f"{issuer.key_id}.pem").unlink()
    with pytest.raises(InvalidLicence, match="another issuer's of the same id"):
        site.licences.install(theirs.read_bytes())  # nor is one that does not hold any more silently replaced
    site.licences.remove("L-1")
    site.licences.install(theirs.read_bytes())


def test_nor_may_one_be_installed_beside_a_licence_of_that_id_in_a_file_of_another_name(
    site: Site, issuer: Issuer, stranger: Issuer, tmp_path: Path
) -> None:
    site.put(issuer.token(), "by-hand.licence")
    site.licences.trust(stranger.public_pem.read_bytes())
    (tmp_path / "theirs").write_bytes(stranger.token())
    with pytest.raises(InvalidLicence, match=r"by-hand\.licence is another issuer's of the same id"):
        site.licences.install((tmp_path / "theirs").read_bytes())
