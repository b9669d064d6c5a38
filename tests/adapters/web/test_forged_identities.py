"""Whoever is not who they say they are does nothing at the page, and sees nothing of it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import RSAKey

from domain.audit.read_models import AuditQuery
from infra.service import Service
from infra.serving.page.app import page_app_of
from infra.serving.page.place import link
from infra.settings import Settings
from tests.adapters.web.providers import A_SHARED_SECRET, Forger, forging_provider, real_provider

URL = "http://127.0.0.1:4280"
PAGES = ["/", "/add", "/runs", "/audit", "/audit/export", "/data", "/licences", "/me", "/methods/sft-demo", "/compare"]


def browser(tmm: Service, url: str = URL, **how: Any) -> TestClient:
    return TestClient(page_app_of(tmm, url), base_url=url, follow_redirects=False, **how)


@pytest.fixture
def tmm(tmp_path: Path) -> Iterator[Service]:
    """An installation on a machine of one's own."""
    with Service(Settings(home=tmp_path / "home", backends="cuda")) as installation:
        yield installation


@pytest.fixture
def mine(tmm: Service) -> Iterator[TestClient]:
    """A browser that is signed in by the key of this machine."""
    with browser(tmm) as signed_in:
        assert signed_in.get(link(tmm.settings, URL)).status_code == 303
        yield signed_in


def token_in(page: TestClient) -> str:
    """The token that every form of a session carries."""
    return page.get("/me").text.split('name="csrf_token" value="')[1].split('"')[0]


def refusals(tmm: Service) -> list[str]:
    entries = tmm.auditing.entries(AuditQuery(outcome="refused", limit=1000))
    return [f"{entry.action} {entry.actor}" for entry in entries]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("cookie", [None, "made-up", ""])
def test_no_page_works_for_a_stranger(tmm: Service, path: str, cookie: str | None) -> None:
    with browser(tmm) as stranger:
        if cookie is not None:
            stranger.cookies.set("tmm-4280", cookie)
        answer = stranger.get(path)
        assert answer.status_code == 401
        assert "sft-demo" not in answer.text
        assert stranger.post(path, data={"name": "x"}).status_code in (401, 403, 405)


def test_a_key_counts_once_and_for_ten_minutes(tmm: Service) -> None:
    once, late = link(tmm.settings, URL), link(tmm.settings, URL)
    for file in (tmm.settings.secrets / "page-sign-in").iterdir():
        os.utime(file, (time.time() - 601,) * 2)
    with browser(tmm) as stranger:
        assert [stranger.get(address).status_code for address in (once, late)] == [403, 403]
    fresh = link(tmm.settings, URL)
    with browser(tmm) as owner, browser(tmm) as thief:
        assert owner.get(fresh).status_code == 303
        assert thief.get(fresh).status_code == 403
        assert thief.get("/me").status_code == 401


def test_a_session_that_was_signed_out_or_fixed_beforehand_is_none(tmm: Service) -> None:
    with browser(tmm) as owner, browser(tmm) as thief:
        owner.cookies.set("tmm-4280", "chosen-by-the-thief")
        owner.get(link(tmm.settings, URL))
        key = owner.cookies.get("tmm-4280", domain="127.0.0.1") or owner.cookies.get("tmm-4280")
        thief.cookies.set("tmm-4280", "chosen-by-the-thief")
        assert thief.get("/me").status_code == 401
        owner.cookies.clear()
        owner.get(link(tmm.settings, URL))
        key = owner.cookies["tmm-4280"]
        assert owner.post("/sign-out", data={"csrf_token": token_in(owner)}).status_code == 303
        thief.cookies.clear()
        thief.cookies.set("tmm-4280", key)
        assert thief.get("/me").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:4280"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
    ],
)
def test_pages_of_other_origins_and_names_do_nothing(
    tmm: Service, mine: TestClient, headers: dict[str, str], status: int
) -> None:
    given = {"csrf_token": token_in(mine), "display_name": "Changed"}
    assert mine.post("/methods/custom01/modify", data=given, headers=headers).status_code == status
    assert tmm.catalogue.method("custom01").version == 1
    assert "visit stranger" in refusals(tmm)


@pytest.mark.parametrize("token", [None, "", "made-up", "another's"])
def test_an_act_without_the_token_of_its_own_session_does_nothing(
    tmm: Service, mine: TestClient, token: str | None
) -> None:
    given = {"display_name": "Changed"}
    if token == "another's":
        with browser(tmm) as another:
            another.get(link(tmm.settings, URL))
            token = token_in(another)
    if token is not None:
        given["csrf_token"] = token
    assert mine.post("/methods/custom01/modify", data=given).status_code == 403
    assert tmm.catalogue.method("custom01").version == 1


def test_a_page_stands_in_nobodys_frame_and_its_cookie_is_for_no_script(mine: TestClient) -> None:
    headers = mine.get("/").headers
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "'unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("to", ["//evil.example", "/\\evil.example", "https://evil.example", "/x\r\nSet-Cookie: a=b"])
def test_nobody_is_led_elsewhere_by_signing_in(tmm: Service, to: str) -> None:
    with browser(tmm) as somebody:
        key = link(tmm.settings, URL).partition("key=")[2]
        answer = somebody.get("/sign-in", params={"key": key, "to": to})
        assert answer.headers["location"] == "/"


# Behind a proxy.

PROXY = {"web_user_header": "X-User", "web_trusted_proxies": "10.0.0.1", "web_url": "http://127.0.0.1:4280"}


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Service]:
    with Service(Settings.model_validate({"home": tmp_path / "home", "backends": "cuda", **PROXY})) as installation:
        yield installation


def test_a_proxy_says_who_somebody_is_and_nobody_else_does(behind: Service) -> None:
    with browser(behind, client=("10.0.0.1", 1)) as by_proxy:
        assert by_proxy.get("/sign-in", headers={"X-User": "alice"}).status_code == 303
        assert "alice" in by_proxy.get("/me", headers={"X-User": "alice"}).text
        assert by_proxy.get("/me", headers={"X-User": "bob"}).status_code == 401  # another's session
        assert by_proxy.get("/me").status_code == 401
        session = dict(by_proxy.cookies)
    with browser(behind, client=("10.6.6.6", 1)) as past_it:
        assert past_it.get("/sign-in", headers={"X-User": "alice"}).status_code == 403
        past_it.cookies.update(session)
        assert past_it.get("/me", headers={"X-User": "alice"}).status_code == 403
        assert past_it.get("/me").status_code == 401


@pytest.mark.parametrize("name", ["prefect", "Prefect", "root", "installer", "stranger", "", "a\u202eb", "x" * 81])
def test_nobody_has_a_name_that_means_somebody_else(behind: Service, name: str) -> None:
    with browser(behind, client=("10.0.0.1", 1)) as by_proxy:
        headers = [(b"x-user", name.encode())]
        assert by_proxy.get("/sign-in", headers=headers).status_code in (401, 403)  # type: ignore[arg-type]
        assert by_proxy.get("/me", headers=headers).status_code == 401  # type: ignore[arg-type]


def test_a_header_that_is_there_twice_says_nobody(behind: Service) -> None:
    with browser(behind, client=("10.0.0.1", 1)) as by_proxy:
        twice = [("X-User", "alice"), ("X-User", "bob")]
        assert by_proxy.get("/sign-in", headers=twice).status_code == 401  # type: ignore[arg-type]


# With an OpenID provider.


def installation_with(issuer: str, folder: Path, **more: Any) -> Service:
    (folder / "secret").write_text("s3cret")
    oidc = {"oidc_issuer": issuer, "oidc_client_id": "tmm", "oidc_client_secret_file": str(folder / "secret")}
    return Service(Settings.model_validate({"home": folder / "home", "backends": "cuda", **oidc, **more}))


@pytest.fixture(scope="module")
def forger() -> Iterator[Forger]:
    with forging_provider() as provider:
        yield provider


@pytest.fixture
def team(forger: Forger, tmp_path: Path) -> Iterator[Service]:
    forger.says, forger.signs, forger.algorithm = {}, None, "RS256"
    with installation_with(forger.issuer, tmp_path, operators="olga") as installation:
        yield installation


def test_whom_the_provider_names_is_signed_in_by_that_name_and_with_that_role(team: Service, forger: Forger) -> None:
    for name, subject, role in (("alice", "17", ""), ("olga", "18", "operator")):
        forger.says = {"preferred_username": name, "sub": subject}
        with browser(team) as somebody:
            back = forger.codes(somebody.get("/sign-in").headers["location"])
            assert somebody.get("/sign-in/callback", params=back).status_code == 303
            told = somebody.get("/me").text
            assert name in told
            assert ("operator" in told) is bool(role)
    actors = {entry.actor for entry in team.auditing.entries(AuditQuery(action="sign-in", outcome="done"))}
    assert actors == {"alice", "olga"}


@pytest.mark.parametrize(
    "says",
    [
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"nonce": "another"},
        {"exp": 1},
        {"sub": ""},
        {"preferred_username": None},
        {"preferred_username": ["alice"]},
        {"preferred_username": "prefect"},
        {"preferred_username": " alice"},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_us_now_signs_nobody_in(team: Service, forger: Forger, says: dict[str, Any]) -> None:
    forger.says = says
    with browser(team) as somebody:
        back = forger.codes(somebody.get("/sign-in").headers["location"])
        assert somebody.get("/sign-in/callback", params=back).status_code == 403
        assert somebody.get("/me").status_code == 401
    assert "sign-in stranger" in refusals(team)


@pytest.mark.parametrize("how", ["another key", "a shared secret"])
def test_a_token_that_another_signed_signs_nobody_in(team: Service, forger: Forger, how: str) -> None:
    if how == "another key":
        forger.signs = RSAKey.generate_key(2048, {"kid": "ours"})
    else:
        forger.signs, forger.algorithm = A_SHARED_SECRET, "HS256"
    with browser(team) as somebody:
        back = forger.codes(somebody.get("/sign-in").headers["location"])
        assert somebody.get("/sign-in/callback", params=back).status_code == 403
        assert somebody.get("/me").status_code == 401


def test_a_state_is_its_own_browsers_and_counts_once(team: Service, forger: Forger) -> None:
    with browser(team) as victim, browser(team) as thief:
        back = forger.codes(victim.get("/sign-in").headers["location"])
        assert thief.get("/sign-in/callback", params=back).status_code == 403  # stolen
        assert thief.get("/sign-in/callback", params=back | {"state": "made-up"}).status_code == 403
        other = back | {"iss": "https://evil.example"}
        assert victim.get("/sign-in/callback", params=other).status_code == 403  # mixed up with another provider
        back = forger.codes(victim.get("/sign-in").headers["location"])
        assert victim.get("/sign-in/callback", params=back).status_code == 303
        assert victim.get("/sign-in/callback", params=back).status_code == 403  # replayed
        assert "alice" in victim.get("/me").text
        assert thief.get("/me").status_code == 401


def test_another_subject_with_the_same_name_is_refused_until_an_operator_frees_it(
    team: Service, forger: Forger
) -> None:
    def signed_in_as(subject: str) -> int:
        forger.says = {"sub": subject}
        with browser(team) as somebody:
            back = forger.codes(somebody.get("/sign-in").headers["location"])
            return somebody.get("/sign-in/callback", params=back).status_code

    from domain.use_cases.signing_in import FreeName

    assert [signed_in_as(subject) for subject in ("17", "18", "17")] == [303, 403, 303]
    team.do(FreeName(name="alice"), by=team.user())
    assert [signed_in_as(subject) for subject in ("18", "17")] == [303, 403]


def test_whoever_tries_too_often_waits(team: Service) -> None:
    with browser(team) as stranger:
        statuses = [
            stranger.get("/sign-in/callback", params={"state": "x", "code": "y"}).status_code for _ in range(30)
        ]
    assert statuses[0] == 403
    assert statuses[-1] == 429
    assert len(refusals(team)) < 10  # the rest is a number in the next entry


@pytest.mark.processes
def test_people_sign_in_at_a_real_provider_each_as_themselves(tmp_path: Path) -> None:
    import httpx

    with real_provider() as issuer, installation_with(issuer, tmp_path, oidc_user_claim="sub") as installation:
        for name in ("alice", "bob"):
            with browser(installation) as somebody:
                asks = somebody.get("/sign-in").headers["location"]
                back = httpx.post(asks, data={"sub": name}).headers["location"]
                assert somebody.get(back).status_code == 303
                assert name in somebody.get("/me").text
        entries = installation.auditing.entries(AuditQuery(action="sign-in", outcome="done"))
        assert [entry.actor for entry in entries] == ["alice", "bob"]
