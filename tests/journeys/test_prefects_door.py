"""Another user of the machine, and a page of another origin in a real browser, get nowhere with a default `tmm up`."""

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.journeys.conftest import Machine, eventually
from tests.journeys.test_prefect_ui import CHROMIUM, _link, _sign_in, browser

__all__ = ["browser"]

pytestmark = pytest.mark.journey

NOBODY = 65534
STREAMS = ("/events/in", "/events/out", "/logs/out", "/task_runs/subscriptions/scheduled")
OPEN = {"/health", "/ready"}
"""What a watcher may ask without a password: whether the server is there."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A default `tmm up` below a folder that every user of this machine may enter."""
    folder = Path(tempfile.mkdtemp(prefix="tmm-door-"))
    folder.chmod(0o755)
    machine = Machine(folder / "home")
    machine.up = machine.start("up", "--no-worker")
    said = machine.home / "up.out"
    try:
        eventually(lambda: "Press Ctrl-C" in said.read_text(), within=150, what="a server")
        yield machine
    finally:
        machine.stop()
        shutil.rmtree(folder)


def _ui(machine: Machine) -> str:
    return machine.api_url.removesuffix("/api")


def _deployment(machine: Machine) -> str:
    return str(machine.prefect("GET", "/deployments/name/train/sft-demo-cuda")["id"])


def _flow_runs(machine: Machine) -> set[str]:
    """Those that nobody scheduled."""
    found = machine.prefect("POST", "/flow_runs/filter", deployments={"id": {"any_": [_deployment(machine)]}})
    return {run["id"] for run in found}


# Another user of the same machine.


def _as_another_user(program: str, *arguments: str) -> str:
    """What a Python program of another user of this machine prints."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    python = next((each for each in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(each).exists()), None)
    if python is None:
        pytest.skip("no Python of the system that another user could start")
    done = subprocess.run(
        [python, "-I", "-c", program, *arguments],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env={},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


READ = """
import os, sys
for place in sys.argv[1:]:
    try:
        print("listed" if os.path.isdir(place) and os.listdir(place) is not None else open(place).read())
    except PermissionError:
        print("refused")
"""
ASK = """
import json, sys, urllib.error, urllib.request
for method, url, body in json.loads(sys.argv[1]):
    request = urllib.request.Request(url, body and body.encode(), {"Content-Type": "application/json"}, method=method)
    try:
        print(urllib.request.urlopen(request).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""
ENVIRONMENTS = """
import os
for process in filter(str.isdigit, os.listdir("/proc")):
    for file in ("environ", "cmdline"):
        try:
            print(open(f"/proc/{process}/{file}").read())
        except OSError:
            pass
"""


def test_another_user_reads_the_password_nowhere(machine: Machine) -> None:
    kept = machine.home / "secrets"
    assert _as_another_user(READ, str(kept), str(kept / "prefect-password"), str(kept / "sign-in")) == "refused\n" * 3
    assert machine.password not in _as_another_user(ENVIRONMENTS)


def test_it_is_written_in_no_file_and_on_no_command_line_but_its_own(machine: Machine) -> None:
    assert machine.tmm("doctor").returncode in (0, 5)
    secret = machine.password.partition(":")[2].encode()
    holding = {file.name for file in machine.home.rglob("*") if file.is_file() and secret in file.read_bytes()}
    assert holding == {"prefect-password"}
    for process in psutil.process_iter():
        try:
            assert secret.decode() not in " ".join(process.cmdline()), process
        except psutil.Error:
            continue


def test_another_user_can_start_change_delete_and_read_nothing(machine: Machine) -> None:
    deployment, before = _deployment(machine), _flow_runs(machine)
    asked = [
        ("GET", "/admin/version", None),
        ("GET", "/admin/settings", None),
        ("GET", "/deployments/name/train/sft-demo-cuda", None),
        ("POST", "/flow_runs/filter", "{}"),
        ("POST", "/artifacts/filter", "{}"),
        ("POST", f"/deployments/{deployment}/create_flow_run", "{}"),
        ("POST", "/flow_runs/", json.dumps({"flow_id": deployment})),
        ("PATCH", f"/deployments/{deployment}", json.dumps({"entrypoint": "evil.py:run"})),
        ("PATCH", "/work_pools/cuda", json.dumps({"base_job_template": {}})),
        ("DELETE", f"/deployments/{deployment}", None),
        ("DELETE", "/work_pools/cuda", None),
        ("POST", "/admin/database/clear", json.dumps({"confirm": True})),
        ("POST", "/events", "[]"),
        ("GET", "/health", None),
    ]
    urls = [(method, f"{machine.api_url}{path}", body) for method, path, body in asked]
    assert _as_another_user(ASK, json.dumps(urls)).split() == ["401"] * (len(asked) - 1) + ["200"]
    assert (_deployment(machine), _flow_runs(machine)) == (deployment, before)


def test_every_address_of_the_api_wants_the_password(machine: Machine) -> None:
    paths = httpx.get(f"{_ui(machine)}/openapi.json").json()["paths"]
    assert len(paths) > 100
    with httpx.Client(base_url=machine.api_url, timeout=60) as stranger:
        answers = {
            (method, path): stranger.request(method, path.removeprefix("/api")).status_code
            for path, methods in paths.items()
            for method in methods
        }
        answers["GET", "/docs"] = stranger.get("/docs").status_code
        answers["GET", "//deployments"] = stranger.get(f"{machine.api_url}//admin/version").status_code
        assert stranger.get("/admin/version", auth=("tmm", "guessed")).status_code == 401
    allowed = {path for (_, path), status in answers.items() if status not in (401, 404)}
    assert allowed <= OPEN
    assert "/health" in allowed


def _first_words(machine: Machine, path: str, token: str | None, *, origin: str | None = None) -> str:
    """What a stream says to somebody who comes with this password; `refused` when it closes."""
    address = machine.api_url.replace("http", "ws", 1) + path
    try:
        with connect(address, subprotocols=["prefect"], origin=origin, open_timeout=30) as socket:  # type: ignore[list-item, arg-type]  # its types are names of strings
            socket.send(json.dumps({"type": "auth", "token": token}))
            return str(json.loads(socket.recv(timeout=30))["type"])
    except WebSocketException:
        return "refused"


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_wants_the_password_too(machine: Machine, path: str) -> None:
    assert _first_words(machine, path, machine.password) == "auth_success"
    assert _first_words(machine, path, None) == "refused"
    assert _first_words(machine, path, "tmm:guessed") == "refused"
    assert _first_words(machine, path, machine.password, origin="http://127.0.0.1:9") == "refused"


# Names that somebody lets lead to this machine.


def test_a_name_of_somebody_elses_does_not_lead_in(machine: Machine) -> None:
    user, _, password = machine.password.partition(":")
    for path in ("/api/health", "/api/admin/version", "/", "/sign-in", "/ui-settings"):
        answer = httpx.get(f"{_ui(machine)}{path}", headers={"Host": "evil.example"}, auth=(user, password))
        assert answer.status_code == 421, path
        assert httpx.get(f"{_ui(machine)}{path}", auth=(user, password)).status_code in (200, 307), path


# Pages of another origin, in the browser of somebody who is signed in.


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another origin on this very machine: a server of somebody else's at another port."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "index.html").write_text("<!doctype html><title>elsewhere</title><body>")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def signed_in(browser: Any, machine: Machine) -> Iterator[Any]:
    """A page of the Prefect UI in a browser that is signed in there."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    context.set_default_timeout(30_000)
    page = context.new_page()
    _sign_in(page, _link(machine))
    yield page
    context.close()


ASKED = """
async ([url, method, password]) => {
  const headers = {"Content-Type": "application/json"};
  if (password) headers["Authorization"] = "Basic " + localStorage.getItem("prefect-password");
  try {
    const answer = await fetch(url, {method, headers, body: method == "POST" ? "{}" : undefined});
    return answer.status;
  } catch { return "refused"; }
}
"""


def test_a_page_of_another_origin_asks_for_nothing(signed_in: Any, machine: Machine, elsewhere: str) -> None:
    deployment, before = _deployment(machine), _flow_runs(machine)
    page = signed_in.context.new_page()
    page.goto(elsewhere)
    start = f"{machine.api_url}/deployments/{deployment}/create_flow_run"
    for url, method in (
        (start, "POST"),
        (f"{machine.api_url}/flow_runs/filter", "POST"),
        (f"{machine.api_url}/deployments/{deployment}", "DELETE"),
        (f"{machine.api_url}/admin/settings", "GET"),
        (f"{machine.api_url}/health", "GET"),
        (f"{_ui(machine)}/ui-settings", "GET"),
    ):
        assert page.evaluate(ASKED, [url, method, False]) == "refused", url
    # Without asking beforehand, as browsers let any page do; it cannot see what came of it.
    page.evaluate(
        "url => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}'})"
        ".then(() => null, () => null)",
        start,
    )
    page.evaluate("url => navigator.sendBeacon(url, '{}')", start)
    assert _flow_runs(machine) == before
    # The same from the UI's own page is answered.
    assert signed_in.evaluate(ASKED, [f"{machine.api_url}/flow_runs/filter", "POST", True]) == 200
    assert signed_in.evaluate(ASKED, [start, "POST", True]) == 201
    assert len(_flow_runs(machine)) == len(before) + 1


def test_a_form_of_another_origin_starts_nothing(signed_in: Any, machine: Machine, elsewhere: str) -> None:
    before = _flow_runs(machine)
    page = signed_in.context.new_page()
    page.goto(elsewhere)
    start = f"{machine.api_url}/deployments/{_deployment(machine)}/create_flow_run"
    with page.expect_response(start) as answer:
        page.evaluate(
            """url => {
              const form = document.createElement("form");
              Object.assign(form, {method: "POST", action: url, enctype: "text/plain"});
              form.innerHTML = `<input name='{"parameters": {}, "x":"' value='"}'>`;
              document.body.append(form);
              form.submit();
            }""",
            start,
        )
    assert answer.value.status == 403
    assert _flow_runs(machine) == before


STREAM = """
url => new Promise(resolve => {
  const socket = new WebSocket(url, "prefect");
  socket.onopen = () => socket.send(JSON.stringify({type: "auth", token: null}));
  socket.onmessage = () => resolve("told");
  socket.onerror = () => resolve("refused");
})
"""


def test_a_page_of_another_origin_opens_no_stream_and_shows_nothing(
    signed_in: Any, machine: Machine, elsewhere: str
) -> None:
    page = signed_in.context.new_page()
    page.goto(elsewhere)
    for path in STREAMS:
        assert page.evaluate(STREAM, machine.api_url.replace("http", "ws", 1) + path) == "refused"
    for kind, path in (("img", "/ico/favicon-32x32.png"), ("script", "/ui-settings"), ("img", "/api/health")):
        loaded = page.evaluate(
            """([kind, url]) => new Promise(resolve => {
              const element = document.createElement(kind);
              element.onload = () => resolve(true);
              element.onerror = () => resolve(false);
              element.src = url;
              document.body.append(element);
            })""",
            [kind, f"{_ui(machine)}{path}"],
        )
        assert not loaded, path


def test_the_ui_stands_in_no_page_of_another_origin(signed_in: Any, machine: Machine, elsewhere: str) -> None:
    """Where a person would press its buttons without seeing them: to pages of one machine, sign-in is the same."""
    page = signed_in.context.new_page()
    page.goto(elsewhere)
    with page.expect_event("framenavigated", lambda frame: frame.parent_frame is not None):
        page.evaluate(
            "url => { const frame = document.createElement('iframe'); frame.src = url; document.body.append(frame) }",
            f"{_ui(machine)}/deployments",
        )
    assert "Deployments" not in page.frames[1].content()
    assert page.frames[1].url.startswith("chrome-error:") or "may not use" in page.frames[1].content()


def test_a_page_of_another_origin_cannot_sign_in_with_a_key(signed_in: Any, machine: Machine, elsewhere: str) -> None:
    page = signed_in.context.new_page()
    page.goto(elsewhere)
    address, _, key = _link(machine).partition("#")
    spend = "([url, body]) => fetch(url, {method: 'POST', body}).then(answer => answer.text(), () => 'refused')"
    assert page.evaluate(spend, [address, key]) == "refused"
    assert page.evaluate("() => localStorage.getItem('prefect-password')") is None
    assert httpx.post(address, content=key).status_code == 200  # it was not spent


def test_a_name_that_was_bent_to_this_machine_shows_nothing_in_a_browser(machine: Machine) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    port = urlsplit(machine.api_url).port
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *("--host-resolver-rules=MAP evil.example 127.0.0.1", f"http://evil.example:{port}/ui-settings"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "not known under that name" in done.stdout
    assert "api_url" not in done.stdout


def test_the_server_says_how_to_sign_in_and_writes_no_key_into_a_log(machine: Machine) -> None:
    said = (machine.home / "up.out").read_text()
    assert said.count("tmm env --sign-in") == 1
    assert "/sign-in#" not in said
