"""What makes a commercial user, and that every attack ends noncommercial, with a reason that says which it was."""

import hmac
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from adapters.licences import InstalledLicences
from adapters.licences.files import LARGEST
from adapters.licences.installed import MOST_FILES
from domain.people.users import Edition
from tests.adapters.licences.conftest import NOW, Issuer, Site, encoded, part


def test_a_licence_that_holds_makes_its_users_commercial_and_names_itself(site: Site, issuer: Issuer) -> None:
    site.put(issuer.token())
    entitlement = site.licences.entitlement_of("alice")
    assert entitlement.edition is Edition.COMMERCIAL
    assert (entitlement.licence_id, entitlement.key_id) == ("L-1", issuer.key_id)


def test_a_licence_for_everyone_covers_any_person_and_not_whoever_reaches_prefect(site: Site, issuer: Issuer) -> None:
    site.put(issuer.token(users=("*",)))
    assert site.licences.entitlement_of("anybody").edition is Edition.COMMERCIAL
    assert site.reason("prefect") == (
        "the licence a.licence is for persons (*), and does not name prefect, as whom anybody in Prefect acts"
    )
    site.put(issuer.token(licence_id="L-2", users=("*", "prefect")), "b.licence")
    assert site.licences.entitlement_of("prefect").licence_id == "L-2"


def test_without_a_licence_a_user_is_noncommercial(site: Site) -> None:
    assert site.reason() == "no licence is installed"


def test_an_expired_licence_says_when_it_expired(site: Site, issuer: Issuer) -> None:
    site.put(issuer.token(expires=NOW - timedelta(seconds=1)))
    assert f"expired on {NOW - timedelta(seconds=1):%Y-%m-%d}" in site.reason()


def test_a_licence_whose_time_is_to_come_says_from_when_it_holds(site: Site, issuer: Issuer) -> None:
    site.put(issuer.token(not_before=NOW + timedelta(hours=1)))
    assert f"holds only from {NOW + timedelta(hours=1):%Y-%m-%d %H:%M} UTC on" in site.reason()


def test_a_licence_for_other_users_names_who_is_not_covered(site: Site, issuer: Issuer) -> None:
    site.put(issuer.token(users=("bob", "alice2", "Alice", "*x")))
    assert "does not cover the user alice" in site.reason()


def test_a_noncommercial_licence_opens_nothing(site: Site, issuer: Issuer) -> None:
    site.put(issuer.token(edition=Edition.NONCOMMERCIAL))
    assert "is for noncommercial use" in site.reason()


def test_a_licence_of_an_unknown_issuer_names_the_key(site: Site, stranger: Issuer) -> None:
    site.put(stranger.token())
    assert f"is signed with the key {stranger.key_id}, which is not in the trust store" in site.reason()


def test_a_stranger_who_claims_a_trusted_key_is_found_out(site: Site, issuer: Issuer, stranger: Issuer) -> None:
    site.put(stranger.forge(issuer.header(), issuer.claims()))
    assert "was changed after it was signed, or not signed with the key" in site.reason()


def test_any_changed_byte_of_the_claims_or_the_signature_is_found(site: Site, issuer: Issuer) -> None:
    token = issuer.token()
    header, claims, signature = token.split(b".")
    for position in (0, len(claims) // 2, len(claims) - 1):
        changed = bytearray(claims)
        changed[position] = ord("A") if changed[position] != ord("A") else ord("B")
        site.put(b".".join([header, bytes(changed), signature]))
        site.reason()
    for position in (0, len(signature) // 2):
        changed = bytearray(signature)
        changed[position] = ord("A") if changed[position] != ord("A") else ord("B")
        site.put(b".".join([header, claims, bytes(changed)]))
        assert "was changed after it was signed" in site.reason()


def test_claims_of_another_licence_under_a_good_signature_are_found(site: Site, issuer: Issuer) -> None:
    header, _, signature = issuer.token().split(b".")
    site.put(b".".join([header, part(issuer.claims(users=["*"])), signature]))
    assert "was changed after it was signed" in site.reason()


@pytest.mark.parametrize("alg", ["none", "None", "", None, "HS256", "RS256", "eddsa", "Ed25519", ["EdDSA"], {}])
def test_no_other_algorithm_is_accepted(site: Site, issuer: Issuer, alg: Any) -> None:
    for token in (
        issuer.forge(issuer.header(alg=alg), issuer.claims()),
        part(issuer.header(alg=alg)) + b"." + part(issuer.claims()) + b".",
    ):
        site.put(token)
        assert "only EdDSA is accepted" in site.reason()


@pytest.mark.parametrize("secret", ["pem", "raw"])
def test_a_public_key_is_no_shared_secret(site: Site, issuer: Issuer, secret: str) -> None:
    public = issuer.key.public_key()
    known = issuer.public_pem.read_bytes() if secret == "pem" else public.public_bytes_raw()
    signed = part(issuer.header(alg="HS256")) + b"." + part(issuer.claims())
    site.put(signed + b"." + encoded(hmac.new(known, signed, sha256).digest()))
    assert "only EdDSA is accepted" in site.reason()


@pytest.mark.parametrize("name", ["jwk", "jku", "x5c", "x5u"])
def test_a_key_inside_the_file_counts_for_nothing(site: Site, issuer: Issuer, stranger: Issuer, name: str) -> None:
    x = encoded(stranger.key.public_key().public_bytes_raw()).decode()
    brought = {name: {"kty": "OKP", "crv": "Ed25519", "x": x} if name == "jwk" else "https://example.org/keys"}
    for signer in (issuer, stranger):  # not even under a trusted signature
        site.put(signer.forge(issuer.header(**brought), issuer.claims()))
        assert f"brings a key of its own ({name}); only keys of the trust store count" in site.reason()


@pytest.mark.parametrize(
    "header",
    [
        {"b64": False, "crit": ["b64"]},
        {"crit": ["exp"]},
        {"typ": "JWT"},
        {"typ": None},
        {"kid": 7},
        {"kid": None},
        {"zip": "DEF"},
    ],
)
def test_a_header_has_one_shape(site: Site, issuer: Issuer, header: dict[str, Any]) -> None:
    site.put(issuer.forge(issuer.header(**header), issuer.claims()))
    assert "must have exactly alg, kid and typ" in site.reason()


@pytest.mark.parametrize("key_id", ["../../etc/passwd", "..", "", "a" * 5000, "ABCDEF0123456789", "0123456789abcdef\n"])
def test_a_key_id_is_never_a_path(site: Site, issuer: Issuer, key_id: str) -> None:
    site.put(issuer.forge(issuer.header(kid=key_id), issuer.claims()))
    reason = site.reason()
    assert "names a key id that is none" in reason
    assert len(reason) < 200


def test_a_claim_that_stands_twice_is_refused_under_a_good_signature(site: Site, issuer: Issuer) -> None:
    twice = json.dumps(issuer.claims(users=["bob"]))[:-1] + ', "users": ["alice"]}'
    site.put(issuer.forge(issuer.header(), twice))
    assert "says 'users' twice in its claims" in site.reason()


def test_a_header_field_that_stands_twice_is_refused(site: Site, issuer: Issuer, stranger: Issuer) -> None:
    twice = json.dumps(issuer.header(kid=stranger.key_id))[:-1] + f', "kid": "{issuer.key_id}"}}'
    site.put(issuer.forge(twice, issuer.claims()))
    assert "says 'kid' twice in its header" in site.reason()


@pytest.mark.parametrize(
    "claims",
    [
        {"users": "alice"},
        {"users": []},
        {"users": [["alice"]]},
        {"edition": "platinum"},
        {"exp": "never"},
        {"exp": 1e400},
        {"exp": True},
        {"exp": 10**30},
        {"nbf": None},
        {"jti": "../evil"},
        {"customer": ""},
    ],
)
def test_claims_that_make_no_sense_are_refused_under_a_good_signature(
    site: Site, issuer: Issuer, claims: dict[str, Any]
) -> None:
    site.put(issuer.forge(issuer.header(), issuer.claims(**claims)))
    assert "claims" in site.reason()


@pytest.mark.parametrize("name", ["exp", "nbf", "users", "edition"])
def test_a_missing_claim_is_named(site: Site, issuer: Issuer, name: str) -> None:
    claims = issuer.claims()
    del claims[name]
    site.put(issuer.forge(issuer.header(), claims))
    assert f"missing or too many: {name}" in site.reason()


@pytest.mark.parametrize(
    "content",
    [b"", b".", b"..", b"a.b", b"a.b.c.d", b"\xff\xfe.\x00.x", b"{}", b"[" * 50_000, b"W10.W10.W10", b"e30.e30.e30"],
)
def test_what_is_no_token_is_said_to_be_none(site: Site, content: bytes) -> None:
    site.put(content)
    assert site.reason().startswith("the licence a.licence ")


@given(content=st.binary(max_size=200))
def test_no_bytes_whatever_raise_or_entitle(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "any.licence").write_bytes(content)
    assert InstalledLicences(folder, folder).entitlement_of("alice").edition is Edition.NONCOMMERCIAL


def test_deep_nesting_is_refused_under_a_good_signature(site: Site, issuer: Issuer) -> None:
    site.put(issuer.forge(issuer.header(), "[" * 20_000 + "]" * 20_000))
    assert "has claims that cannot be read" in site.reason()


# Files.


def test_a_symbolic_link_is_not_followed(site: Site, issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(issuer.token())
    site.folder.mkdir()
    (site.folder / "a.licence").symlink_to(tmp_path / "elsewhere")
    assert "is a symbolic link; put the file itself there" in site.reason()


def test_a_link_to_an_endless_device_is_not_read(site: Site) -> None:
    site.folder.mkdir()
    (site.folder / "a.licence").symlink_to("/dev/zero")
    assert "is a symbolic link" in site.reason()


def test_a_pipe_is_not_waited_for(site: Site) -> None:
    site.folder.mkdir()
    os.mkfifo(site.folder / "a.licence")
    assert "is not a regular file" in site.reason()


def test_a_folder_is_no_licence_and_hides_none(site: Site, issuer: Issuer) -> None:
    (site.folder / "a.licence").mkdir(parents=True)
    assert "is not a regular file" in site.reason()
    site.put(issuer.token(), "b.licence")
    assert site.licences.entitlement_of("alice").licence_id == "L-1"


def test_a_huge_file_is_not_read_to_its_end(site: Site) -> None:
    huge = site.put(b"")
    os.truncate(huge, 10**12)  # a sparse file: reading it whole would take all memory
    assert f"is larger than {LARGEST // 1024} kB" in site.reason()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """For root, every file is readable: while this test runs, we are nobody."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    yield
    os.seteuid(was)


def test_an_unreadable_file_says_so(open_folder: Path, issuer: Issuer, request: pytest.FixtureRequest) -> None:
    site = Site(open_folder / "licences", open_folder / "trust-store")
    site.licences.trust(issuer.public_pem.read_bytes())
    site.put(issuer.token()).chmod(0)
    request.getfixturevalue("unprivileged")
    assert "cannot be read: permission denied" in site.reason()


def test_an_unreadable_folder_says_so(open_folder: Path, issuer: Issuer, request: pytest.FixtureRequest) -> None:
    site = Site(open_folder / "licences", open_folder / "trust-store")
    site.licences.trust(issuer.public_pem.read_bytes())
    site.put(issuer.token())
    site.folder.chmod(0)
    request.getfixturevalue("unprivileged")
    assert site.reason() == "the folder of the licences cannot be read: permission denied"


def test_an_unreadable_trust_store_trusts_nobody(
    open_folder: Path, issuer: Issuer, request: pytest.FixtureRequest
) -> None:
    site = Site(open_folder / "licences", open_folder / "trust-store")
    site.licences.trust(issuer.public_pem.read_bytes())
    site.put(issuer.token())
    site.trust_store.chmod(0)
    request.getfixturevalue("unprivileged")
    assert "not in the trust store" in site.reason()


def test_a_file_where_the_folder_should_be_entitles_nobody(site: Site) -> None:
    site.folder.write_bytes(b"")
    assert "cannot be read: not a directory" in site.reason()


def test_a_file_whose_name_is_no_text_is_told_in_text(site: Site) -> None:
    site.folder.mkdir()
    (site.folder / os.fsdecode(b"\xff\xfe.licence")).write_bytes(b"")
    site.reason().encode()


# Keys.


def test_a_key_file_under_another_keys_name_is_not_believed(site: Site, issuer: Issuer, stranger: Issuer) -> None:
    (site.trust_store / f"{issuer.key_id}.pem").write_bytes(stranger.public_pem.read_bytes())
    site.put(stranger.forge(issuer.header(), issuer.claims()))
    assert "whose file in the trust store holds another or no key" in site.reason()


def test_a_linked_key_is_not_followed(site: Site, stranger: Issuer) -> None:
    (site.trust_store / f"{stranger.key_id}.pem").symlink_to(stranger.public_pem)
    site.put(stranger.token())
    assert "whose file in the trust store is a symbolic link" in site.reason()


def test_a_key_of_another_kind_is_none(site: Site, issuer: Issuer) -> None:
    other = Ed448PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (site.trust_store / f"{issuer.key_id}.pem").write_bytes(other)
    site.put(issuer.token())
    assert "holds another or no key" in site.reason()


def test_a_key_that_is_trusted_no_more_ends_its_licences(site: Site, issuer: Issuer) -> None:
    site.put(issuer.token())
    assert site.licences.entitlement_of("alice").edition is Edition.COMMERCIAL
    (site.trust_store / f"{issuer.key_id}.pem").unlink()
    assert "not in the trust store" in site.reason()


# Several licences.


def test_the_good_one_of_several_licences_holds(site: Site, issuer: Issuer, stranger: Issuer) -> None:
    site.put(stranger.token(licence_id="L-stranger"), "a.licence")
    site.put(b"nonsense", "b.licence")
    site.put(issuer.token(licence_id="L-good"), "c.licence")
    site.put(issuer.token(licence_id="L-old", expires=NOW - timedelta(days=9)), "d.licence")
    assert site.licences.entitlement_of("alice").licence_id == "L-good"


def test_of_several_good_licences_the_one_that_holds_longest_is_named(site: Site, issuer: Issuer) -> None:
    site.put(issuer.token(licence_id="L-short"), "a.licence")
    site.put(issuer.token(licence_id="L-long", expires=NOW + timedelta(days=99)), "b.licence")
    assert site.licences.entitlement_of("alice").licence_id == "L-long"


def test_two_licences_do_not_add_up_to_one(site: Site, issuer: Issuer) -> None:
    site.put(issuer.token(licence_id="L-others", users=("bob",)), "a.licence")
    site.put(issuer.token(licence_id="L-old", expires=NOW - timedelta(days=9)), "b.licence")
    reason = site.reason()
    assert "a.licence does not cover the user alice" in reason
    assert "b.licence expired" in reason


def test_a_folder_full_of_bad_licences_is_told_in_a_few_words(site: Site) -> None:
    for number in range(MOST_FILES + 20):
        site.put(b"nonsense", f"{number:04}.licence")
    reason = site.reason()
    assert f"and {MOST_FILES - 3} more do not hold" in reason
    assert len(reason) < 600


def test_other_files_in_the_folder_are_no_licences(site: Site, issuer: Issuer) -> None:
    site.put(issuer.token(), "a.licence.bak")
    site.put(issuer.token(), ".new-x")
    assert site.reason() == "no licence is installed"
