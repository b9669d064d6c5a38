"""For whom a program acts: a token that does not hold for exactly this is refused."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from adapters.licences import acting
from adapters.licences.acting import ActingTokens, hash_of
from adapters.licences.keys import TrustStore, generate_pair, key_id_of, private_key
from domain.errors import TokenDoesNotHold

ASKED = {"method": "sft-demo", "options": {"max_steps": 50}, "seed": 0}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    generate_pair(tmp_path / "keys")
    return tmp_path / "keys" / "private.pem"


@pytest.fixture
def tokens(tmp_path: Path, keys: Path) -> ActingTokens:
    TrustStore(tmp_path / "trusted").trust((keys.with_name("public.pem")).read_bytes())
    return ActingTokens(tmp_path / "trusted")


def _issued(tokens: ActingTokens, keys: Path, **changed: Any) -> str:
    given: dict[str, Any] = {"person": "alice", "action": "train", "parameters": ASKED, "minutes": 10} | changed
    return tokens.issue(keys, **given)


def _signed(keys: Path, *, kind: str = acting.KIND, **changed: Any) -> str:
    now = int(datetime.now(UTC).timestamp())
    claims = {"jti": "1", "sub": "alice", "action": "train", "parameters": hash_of(ASKED), "iat": now, "exp": now + 60}
    key = private_key(keys)
    headers = {"kid": key_id_of(key.public_key()), "typ": kind}
    wanted = {name: value for name, value in (claims | changed).items() if value is not None}
    return jwt.encode(wanted, key, algorithm="EdDSA", headers=headers)


def test_a_token_makes_its_subject_the_acting_person(tokens: ActingTokens, keys: Path) -> None:
    assert tokens.verified(_issued(tokens, keys), action="train", parameters=ASKED).person == "alice"


def test_the_order_in_which_parameters_are_named_does_not_matter(tokens: ActingTokens, keys: Path) -> None:
    turned = dict(reversed(ASKED.items()))
    assert tokens.verified(_issued(tokens, keys), action="train", parameters=turned).person == "alice"


def test_a_token_for_another_command_or_other_parameters_is_refused(tokens: ActingTokens, keys: Path) -> None:
    token = _issued(tokens, keys)
    with pytest.raises(TokenDoesNotHold, match="was issued to train, not to delete"):
        tokens.verified(token, action="delete", parameters=ASKED)
    for other in (ASKED | {"method": "grpo-demo"}, ASKED | {"options": {"max_steps": 51}}, {}):
        with pytest.raises(TokenDoesNotHold, match="other parameters"):
            tokens.verified(token, action="train", parameters=other)


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"exp": int((NOW - timedelta(seconds=1)).timestamp())}, "expired at"),
        ({"exp": int((NOW + timedelta(days=1)).timestamp())}, "longer than 60 minutes"),
        (
            {"iat": int((NOW + timedelta(hours=1)).timestamp()), "exp": int((NOW + timedelta(hours=2)).timestamp())},
            "future",
        ),
        ({"sub": None}, "exactly the claims"),
        ({"sub": ""}, "exactly the claims"),
        ({"jti": 7}, "exactly the claims"),
        ({"admin": True}, "exactly the claims"),
        ({"exp": 1e12}, "whole seconds"),
        ({"exp": True}, "whole seconds"),
        ({"kind": "tmm-licence+jwt"}, "must have exactly alg, kid and typ"),
    ],
)
def test_a_token_that_is_signed_and_makes_no_sense_is_refused(
    tokens: ActingTokens, keys: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(TokenDoesNotHold, match=words):
        tokens.verified(_signed(keys, **changed), action="train", parameters=ASKED)


def _with_claims(token: str, **changed: Any) -> str:
    header, claims, signature = token.split(".")
    value = json.loads(base64.urlsafe_b64decode(claims + "==")) | changed
    return ".".join((header, base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("="), signature))


FORGERIES: list[Callable[[str], str]] = [
    lambda token: _with_claims(token, sub="mallory"),
    lambda token: token[:-4] + "AAAA",
    lambda token: token.rsplit(".", 1)[0] + ".",
    lambda token: "alice",
    lambda token: "",
    lambda token: token + "\N{SNOWMAN}",
    lambda token: jwt.encode({"sub": "alice"}, "secret" * 8, algorithm="HS256"),
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forged_token_is_refused(tokens: ActingTokens, keys: Path, forge: Callable[[str], str]) -> None:
    with pytest.raises(TokenDoesNotHold):
        tokens.verified(forge(_issued(tokens, keys)), action="train", parameters=ASKED)


def test_a_key_that_nobody_trusts_signs_for_nobody(tokens: ActingTokens, tmp_path: Path) -> None:
    generate_pair(tmp_path / "others")
    with pytest.raises(TokenDoesNotHold):
        tokens.verified(_issued(tokens, tmp_path / "others" / "private.pem"), action="train", parameters=ASKED)
