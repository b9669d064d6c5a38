"""Secrets are found wherever they stand, and no text, whatever stands in it, keeps anybody waiting."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.secrets import _LIKELY, _UNMISTAKABLE, HIDDEN, REMOVED, holds_secret, shown_address, without_secrets

ODD = "pA#5s/w@r?d:x%41y"
"""A password with each character that means something in an address."""

PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----"
TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


# Addresses.


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"postgresql://tmm:{ODD}@db.example:5432/tmm", "postgresql://tmm:…@db.example:5432/tmm"),
        ("postgresql://tmm@db.example/tmm", "postgresql://tmm@db.example/tmm"),
        ("postgresql://db/tmm?user=tmm&password=pa55word", "postgresql://db/tmm?…"),
        (f"s3://AKIDEXAMPLE:{ODD}@bucket/models", "s3://…@bucket/models"),
        ("https://a-token@host.example/models", "https://…@host.example/models"),
        ("https://a-token@host.example/models@v2?x=y@z", "https://…@host.example/models@v2?…"),
        ("https://host.example/models?token=abc&x=1", "https://host.example/models?…"),
        ("https://host.example/models#access_token=abc", "https://host.example/models#…"),
        (f"simplecache::s3://key:{ODD}@bucket/x", "simplecache::s3://…@bucket/x"),
        (f"zip://a.zip::https://u:{ODD}@host/x", "zip://a.zip::https://…@host/x"),
        ("http://u:pw@127.0.0.1:4200/api", "http://…@127.0.0.1:4200/api"),
        ("s3://bucket/models@v2", "s3://bucket/models@v2"),
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200/api"),
        ("memory://kept", "memory://kept"),
        ("file:///mnt/a:b@c?d=e", "file:///mnt/a:b@c?d=e"),
        ("/mnt/models?x=1@y", "/mnt/models?x=1@y"),
        (f"host=db user=tmm password={ODD}", f"host=db user=tmm password={REMOVED}"),
        ("host=db password='with \\' and blanks' user=tmm", f"host=db password={REMOVED} user=tmm"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_what_opens_it(address: str, shown: str) -> None:
    assert shown_address(address) == shown
    assert shown_address(shown) == shown


passwords = st.text(st.sampled_from("aZ9-_.~!$&*+=;|#/%@?:[]()"), min_size=1, max_size=30).map(lambda text: f"Q{text}Q")


@given(password=passwords, scheme=st.sampled_from(["postgresql", "s3", "http", "https", "sftp", "abfs"]))
def test_no_character_in_a_password_lets_it_be_seen(password: str, scheme: str) -> None:
    address = f"{scheme}://tmm:{password}@host.example/path"
    said = f"It is at {address}, and ({address}); or '{address}'."
    assert "Q" not in shown_address(address)
    assert "Q" not in without_secrets(said)
    assert "host.example/path" in without_secrets(said)
    assert shown_address(shown_address(address)) == shown_address(address)


def test_of_several_addresses_in_a_sentence_each_keeps_its_host() -> None:
    said = f"Neither http://u:{ODD}@one.example/a,s3://k:s@two/b nor 'postgresql://tmm:{ODD}@three/db' answers (x@y.z)."
    assert without_secrets(said) == (
        "Neither http://…@one.example/a,s3://…@two/b nor 'postgresql://tmm:…@three/db' answers (x@y.z)."
    )


@pytest.mark.parametrize("password", [ODD, "blanks and 'quotes\"", "%70w%2Fx", "abc"])
@pytest.mark.parametrize("spelt", ["{}", "'{}'", "nothing at {}:5432", "ends with {}@host: 1", "u:{}@host"])
def test_the_password_of_a_known_address_is_found_in_other_words_too(password: str, spelt: str) -> None:
    address = f"postgresql://tmm:{password}@db/tmm"
    said = without_secrets("It said " + spelt.format(password), of=[address])
    assert password not in said
    assert said.startswith("It said ")


def test_a_part_of_a_known_password_is_found_and_words_of_the_address_stay() -> None:
    known = ["postgresql://tmm:start/middle@end/here@db.example/tmm", "postgresql://tmm:tmm@db.example/tmm"]
    said = 'could not translate host name "middle@end" to address; database "tmm" on db.example'
    shown = without_secrets(said, of=known)
    assert not any(part in shown for part in ("start", "middle", "end"))
    assert 'database "tmm" on db.example' in shown


def _said_by_urllib(address: str) -> str:
    import urllib.request

    with pytest.raises(Exception, match=r".") as refused:
        urllib.request.urlopen(address, timeout=1)
    return str(refused.value)


def _said_by_httpx(address: str) -> str:
    import httpx

    with pytest.raises(Exception, match=r".") as refused:
        httpx.get(address, timeout=1)
    return str(refused.value)


def _said_by_psycopg(address: str) -> str:
    import psycopg

    with pytest.raises(psycopg.Error) as refused:
        psycopg.connect(address.replace("http://", "postgresql://"), connect_timeout=1)
    return str(refused.value)


def _said_by_fsspec(address: str) -> str:
    import fsspec

    with pytest.raises(Exception, match=r".") as refused:
        fsspec.core.url_to_fs(address.replace("http://", "nothing-like-it://"))
    return str(refused.value)


@pytest.mark.parametrize("says", [_said_by_urllib, _said_by_httpx, _said_by_psycopg, _said_by_fsspec])
@pytest.mark.parametrize("password", ["pw", "hush", "hu/sh", "hu#sh", "hu@sh", "hu?sh", "hu%sh", "hu:sh", ODD])
def test_what_libraries_say_of_an_address_tells_no_password(says: Callable[[str], str], password: str) -> None:
    address = f"http://u:{password}@127.0.0.1:9/tmm"
    for shown in (without_secrets(says(address)), without_secrets(says(address), of=[address])):
        assert not re.search(rf"\b(?:{re.escape(password)}|pw|hush|hu|sh|pA|5s|x%41y)\b", shown), shown


# What is refused, and what is taken out.


@pytest.mark.parametrize(
    "text",
    [
        "https://alice:pa55@host/x",
        "https://:pa55@host/x",
        f"s3://key:{ODD}@bucket",
        "https://host/data.jsonl?token=abc",
        "https://host/data.jsonl?x=1&X-Amz-Signature=0a1b",
        TOKEN,
        f"x-{TOKEN}",
        PRIVATE_KEY,
        "-----BEGIN RSA PRIVATE KEY-----\nnever ends",
        "hf_abcdefghijklmnopqrst",
        "ghp_abcdefghijklmnopqrst",
        "sk-abcdefghijklmnopqrst",
        "xoxb-abcdefghijklmnopqrst",
        "AKIAABCDEFGHIJKLMNOP",
    ],
)
def test_what_is_unmistakably_a_secret_is_refused_and_taken_out(text: str) -> None:
    assert holds_secret(f"See {text} there")
    assert holds_secret({"a": [text]})
    shown = without_secrets(f"See {text} there")
    assert REMOVED in shown or HIDDEN in shown
    assert not holds_secret(shown)
    assert without_secrets(shown) == shown


@pytest.mark.parametrize(
    "text", ["password=pa55", "Authorization: Bearer abcdefgh", "my-token=x", "PGPASSWORD=pa55", "api_key = 'a b'"]
)
def test_what_is_likely_a_secret_is_taken_out(text: str) -> None:
    assert REMOVED in without_secrets(text)
    assert not holds_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "See https://host.example:8080/wiki?id=3#part and mail alice@host.example, or https://host/@alice",
        "max_new_tokens=32, eos_token=7, tokens=3",
        "max_grad_norm: password protected rooms are a topic of the data",
        "eyJust a word. eyJ. -----BEGIN",
        "task-abcdefghijklmnopqrstuvwxyz",
    ],
)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert without_secrets(text) == text
    assert not holds_secret(text)


# Time.

FRAGMENTS = [
    *(
        "://",
        "http://",
        "http://a:",
        "http://a:b",
        "http://a:b@c",
        "a@",
        ":",
        "@",
        "/",
        ",http://",
        "::s3://",
        "?",
        "?a=",
    ),
    *("eyJ", "eyJabcdefg", "eyJabcdefg-", "eyJabcdefg.", "abcdefg.", "-", ".", "x"),
    *("-----", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----END ", "PRIVATE KEY", "PRIVATE KEY ", "A "),
    *("hf_", "hf_hf-", "sk-", "xoxb-abc", "AKIA", "AKIAABCDEFGHIJKLMNO"),
    *(
        "bearer ",
        "bearer abcdefg",
        "=",
        "password",
        "password=",
        "password='",
        "password='\\'",
        'secret="',
        "token",
        "_",
    ),
    *(
        "?token=",
        "&sig=",
        "port: '",
        "integer value ",
        'host name "',
        'host name "a@',
        "percent-encoded token: ",
        "'",
        '"',
    ),
    *("host '", "host 'a@", "parameter: '", " ", "\n", "\\", "é", "access_key_id", "x-amz-security-"),
]
SHORT, LONG = 8_000, 32_000


def _needs(do: Callable[[str], Any], text: str) -> float:
    def once() -> float:
        began = time.process_time()
        do(text)
        return time.process_time() - began

    return min(once() for _ in range(3))


def _takes_no_more_than_its_share(do: Callable[[str], Any], piece: str) -> None:
    """Four times the text takes about four times as long; sixteen times is what a quadratic pattern would take."""
    short, long = (_needs(do, (piece * (size // len(piece) + 1))[:size]) for size in (SHORT, LONG))
    assert long < 9 * short + 0.004, f"{short:.4f} s and {long:.4f} s with {piece!r}"


@pytest.mark.parametrize("pattern", _LIKELY, ids=lambda pattern: pattern[:30])
def test_every_pattern_takes_time_in_proportion_to_the_text(pattern: str) -> None:
    assert set(_UNMISTAKABLE) <= set(_LIKELY)
    for piece in FRAGMENTS:
        _takes_no_more_than_its_share(lambda text: re.sub(pattern, "", text), piece)


pieces = st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=6).map("".join)


@settings(max_examples=40)
@given(piece=pieces, beginning=st.sampled_from(["", "http://a:", "-----BEGIN PRIVATE KEY-----", "password='"]))
@example(piece="eyJabcdefg-", beginning="")
@example(piece="http://a:b", beginning="")
@example(piece="http://a:b ", beginning="")
@example(piece="password='\\'", beginning="")
def test_texts_made_of_parts_of_patterns_take_time_in_proportion_too(piece: str, beginning: str) -> None:
    for do in (holds_secret, without_secrets, shown_address):
        _takes_no_more_than_its_share(lambda text, do=do: do(beginning + text), piece)


def test_the_time_that_is_measured_tells_a_slow_pattern_from_a_fast_one() -> None:
    as_it_was = re.compile(r"\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*")
    with pytest.raises(AssertionError):
        _takes_no_more_than_its_share(lambda text: as_it_was.sub("", text), "eyJabcdefg-")
