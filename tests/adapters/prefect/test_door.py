"""Who comes in at the door of a Prefect server of ours, before Prefect itself asks for the password."""

from base64 import b64decode
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from adapters.prefect.door import Door

PASSWORD = "tmm:sésame"  # also one that no header could carry as it is
KEY = "a-key"


async def _page(_: Request) -> PlainTextResponse:
    return PlainTextResponse("inside")


async def _stream(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("inside")
    await socket.close()


@pytest.fixture
def client() -> TestClient:
    spendable = [KEY]

    def spend(key: str) -> bool:
        counts = key in spendable
        spendable.clear()
        return counts

    inside = Starlette(routes=[Route("/{path:path}", _page, methods=["GET", "POST"]), WebSocketRoute("/in", _stream)])
    door = Door(
        inside,
        names={"First.example", "localhost"},
        proxies=("prefect.example", "other.example:8443"),
        password=PASSWORD,
        spend=spend,
    )
    return TestClient(door, base_url="http://first.example:4200")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("first.example:4200", 200),
        ("FIRST.example", 200),
        ("localhost:4200", 200),
        ("127.0.0.1:4200", 200),
        ("10.0.0.7:5000", 200),  # another machine may know this one by its number; nobody can name a domain like that
        ("[::1]:4200", 200),
        ("prefect.example", 200),
        ("other.example:8443", 200),
        ("evil.example", 421),
        ("evil.example:4200", 421),
        ("first.example.evil.example:4200", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("evil.example@127.0.0.1", 421),
        ("first.example:4200/evil", 421),
        ("first.example:", 421),
        ("", 421),
    ],
)
def test_it_is_asked_by_a_name_of_its_own(client: TestClient, host: str, status: int) -> None:
    answer = client.get("/api/flow_runs", headers={"host": host})
    assert (answer.status_code, "inside" in answer.text) == (status, status == 200)


SEC = "sec-fetch-"


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, 200),  # a program
        ("POST", {"origin": "http://first.example:4200"}, 200),
        ("POST", {"origin": "https://prefect.example"}, 200),
        ("POST", {"origin": "https://other.example:8443"}, 200),
        ("POST", {"origin": "http://first.example:9999"}, 403),
        ("POST", {"origin": "http://first.example"}, 403),
        ("POST", {"origin": "https://other.example"}, 403),
        ("POST", {"origin": "https://evil.example"}, 403),
        ("POST", {"origin": "null"}, 403),
        ("POST", {"origin": ""}, 403),
        ("GET", {f"{SEC}site": "none", f"{SEC}mode": "navigate", f"{SEC}dest": "document"}, 200),
        ("GET", {f"{SEC}site": "same-origin", f"{SEC}mode": "cors"}, 200),
        ("GET", {f"{SEC}site": "cross-site", f"{SEC}mode": "navigate", f"{SEC}dest": "document"}, 200),  # a link
        ("POST", {f"{SEC}site": "cross-site", f"{SEC}mode": "navigate", f"{SEC}dest": "document"}, 403),  # a form
        ("GET", {f"{SEC}site": "cross-site", f"{SEC}mode": "navigate", f"{SEC}dest": "iframe"}, 403),
        ("GET", {f"{SEC}site": "same-site", f"{SEC}mode": "no-cors", f"{SEC}dest": "image"}, 403),
        ("GET", {f"{SEC}site": "cross-site", f"{SEC}mode": "no-cors", f"{SEC}dest": "script"}, 403),
    ],
)
def test_no_page_of_another_origin_asks_it(
    client: TestClient, method: str, headers: dict[str, str], status: int
) -> None:
    answer = client.request(method, "/api/flow_runs", headers=headers)
    assert (answer.status_code, "inside" in answer.text) == (status, status == 200)


def _said(client: TestClient, headers: dict[str, str]) -> Any:
    try:
        with client.websocket_connect("ws://first.example:4200/in", headers=headers) as socket:
            return socket.receive_text()
    except WebSocketDenialResponse as refused:
        return refused.status_code


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "inside"),
        ({"origin": "http://first.example:4200"}, "inside"),
        ({"origin": "http://first.example:9999"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"host": "evil.example"}, 421),
    ],
)
def test_streams_have_the_same_door(client: TestClient, headers: dict[str, str], said: object) -> None:
    assert _said(client, headers) == said


def test_a_key_gives_a_browser_the_password_once(client: TestClient) -> None:
    ours = {"origin": "http://first.example:4200"}
    page = client.get("/sign-in")
    assert "prefect-password" in page.text
    assert PASSWORD not in page.text
    given = client.post("/sign-in", content=KEY, headers=ours)
    assert b64decode(given.text).decode() == PASSWORD
    for answer in (page, given):
        assert answer.headers["cache-control"] == "no-store"
    again = client.post("/sign-in", content=KEY, headers=ours)
    assert (again.status_code, "tmm env --sign-in" in again.text) == (403, True)


@pytest.mark.parametrize("key", [b"", b"another", b"\xff\xfe", b"x" * 100_000])
def test_no_other_key_does(client: TestClient, key: bytes) -> None:
    assert client.post("/sign-in", content=key).status_code == 403


def test_a_page_of_another_origin_cannot_spend_a_key(client: TestClient) -> None:
    assert client.post("/sign-in", content=KEY, headers={"origin": "http://127.0.0.1:9"}).status_code == 403
    assert client.post("/sign-in", content=KEY).status_code == 200


def test_its_pages_ask_no_other_host_and_stand_in_no_other_page(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "frame-ancestors 'none'" in client.get("/sign-in").headers["content-security-policy"]
