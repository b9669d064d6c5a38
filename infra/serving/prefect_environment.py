"""The environment that keeps our Prefect processes apart from any Prefect of the user's own, and silent."""

import json
import os
import shlex
import sys
import urllib.request
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from domain.errors import PrefectUnavailable
from infra.serving.prefect_password import kept_password, make_sign_in_key, password_to_start_with
from infra.settings import Settings

# Prefect's own names, `user:password`; never among our settings, which are shown to people.
_PASSWORD = "PREFECT_API_AUTH_STRING"
_SERVERS_PASSWORD = "PREFECT_SERVER_API_AUTH_STRING"

# Prefect's own names too, for a server whose certificate no public authority has signed.
_AUTHORITIES = "PREFECT_API_SSL_CERT_FILE"
_TLS = (_AUTHORITIES, "PREFECT_API_TLS_INSECURE_SKIP_VERIFY")

# Without being told that something happened (adapters/prefect/asking.py), a worker asks for work no more often.
_SELDOM_S = 5.0


def prefect_environment(settings: Settings, api_url: str | None = None) -> dict[str, str]:
    """Variables for workers and clients: a Prefect home and profile of our own, no telemetry.

    With the server's address `api_url` also that, and the server's password.
    """
    home = settings.prefect_home
    environment = {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_WORKER_QUERY_SECONDS": str(max(settings.poll_seconds, _SELDOM_S)),
        "PREFECT_CLI_PROMPT": "false",
        # Threads that spin while they wait take the cores they wait for: ten times slower where runs share a machine.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }
    if api_url is None:
        return environment
    if password := password_of(settings, api_url):
        environment[_PASSWORD] = password
    return environment | {"PREFECT_API_URL": api_url} | _certificates(settings, api_url)


def _certificates(settings: Settings, api_url: str) -> dict[str, str]:
    """For an address without TLS a file with a single certificate.

    Nothing is verified there, and yet every client reads all of the world's authorities: each time 40 ms.
    """
    if not api_url.startswith("http://"):
        return {name: os.environ[name] for name in _TLS if name in os.environ}
    file = settings.prefect_home / "a-certificate.pem"
    if not file.exists():
        import certifi

        first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----\n")
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}")
        unfinished.write_text(first + end, encoding="utf-8")
        unfinished.rename(file)  # another process may look at it this very moment
    return {_AUTHORITIES: str(file)}


def server_environment(settings: Settings, api_url: str) -> dict[str, str]:
    """Variables for a Prefect server of ours at this address: its password, its database, and who may come in."""
    environment = prefect_environment(settings) | {
        _SERVERS_PASSWORD: os.environ.get(_SERVERS_PASSWORD) or _given() or password_to_start_with(settings),
        # Pages of its own origin alone ask it for something, whatever name they were reached by. Prefect's protection
        # from forged requests stays off: no browser sends the password by itself, and programs would need a token more.
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": api_url.removesuffix("/api"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "TMM_HOME": str(settings.home),
        "TMM_PREFECT_HOST": settings.prefect_host,
        "TMM_PREFECT_NAMES": ",".join(settings.prefect_names),
    }
    if settings.prefect_database_url:
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = as_prefect_names_it(settings.prefect_database_url)
    return environment


def as_prefect_names_it(database_url: str) -> str:
    """A PostgreSQL address in the spelling of the driver that Prefect's server uses."""
    parts = urlsplit(database_url)
    query = [("ssl" if name == "sslmode" else name, value) for name, value in parse_qsl(parts.query)]
    return urlunsplit(parts._replace(scheme="postgresql+asyncpg", query=urlencode(query, safe="/")))


def asking(url: str, password: str | None = None) -> urllib.request.Request:
    """A request to the Prefect server, with the password that it may want: this one, or the environment's."""
    request = urllib.request.Request(url)
    if password := password or _given():
        request.add_header("Authorization", f"Basic {b64encode(password.encode()).decode()}")
    return request


def password_of(settings: Settings, api_url: str) -> str | None:
    """What opens the server at this address: what the environment says, or what was made for the one started here."""
    return _given() or (kept_password(settings) if api_url == _started_here(settings) else None)


def lines_for_programs(settings: Settings) -> list[str]:
    """Lines for a shell, with which any program reaches the Prefect server. Raises `PrefectUnavailable`."""
    api_url = api_url_or_refuse(settings)
    variables = {"PREFECT_API_URL": api_url, _PASSWORD: password_of(settings, api_url)}
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items() if value]


def sign_in_link(settings: Settings) -> str:
    """An address that signs a browser in, once and within ten minutes. Raises `PrefectUnavailable`."""
    if (api_url := _started_here(settings)) is None:
        raise PrefectUnavailable(
            "No Prefect server of this data folder runs, so nobody can be signed in. Start one with: tmm up. "
            "Another machine's Prefect UI asks for the password itself."
        )
    return f"{api_url.removesuffix('/api')}/sign-in#{make_sign_in_key(settings)}"


def how_to_sign_in(settings: Settings) -> str:
    """A sentence with a link for the person at the terminal; without one for a log, which others may read."""
    if sys.stdout.isatty() and sys.stderr.isatty():
        return f"Sign in once in each browser, within ten minutes: {sign_in_link(settings)}"
    return "Sign in once in each browser, with the link that this prints: tmm env --sign-in"


def _given() -> str | None:
    """The password that the environment names; who starts a server with one need not name it twice."""
    return os.environ.get(_PASSWORD) or os.environ.get(_SERVERS_PASSWORD)


def clean_environment() -> dict[str, str]:
    """This process's environment without any Prefect setting of the user's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


def known_api_url(settings: Settings) -> str | None:
    """The Prefect server to talk to: PREFECT_API_URL, else the one that `tmm up` started here; None without any."""
    return os.environ.get("PREFECT_API_URL") or _started_here(settings)


def _started_here(settings: Settings) -> str | None:
    with suppress(OSError, ValueError, KeyError):
        server = json.loads(_server_file(settings).read_bytes())
        os.kill(server["pid"], 0)  # a supervisor that was killed could not forget its server
        return str(server["api_url"])
    return None


def api_url_or_refuse(settings: Settings) -> str:
    """Like `known_api_url`, but raises `PrefectUnavailable` without any."""
    if (url := known_api_url(settings)) is None:
        raise PrefectUnavailable("No Prefect server is known here. Start one with: tmm up, or set PREFECT_API_URL.")
    return url


def remember_server(settings: Settings, api_url: str) -> None:
    """Let other commands of this installation find the server."""
    _server_file(settings).parent.mkdir(parents=True, exist_ok=True)
    _server_file(settings).write_text(json.dumps({"api_url": api_url, "pid": os.getpid()}))


def forget_server(settings: Settings) -> None:
    _server_file(settings).unlink(missing_ok=True)


def _server_file(settings: Settings) -> Path:
    return settings.prefect_home / "server.json"
