"""The environment that keeps our Prefect processes apart from any Prefect of the user's own, and silent."""

import json
import os
import urllib.request
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from domain.errors import PrefectUnavailable
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
    """Variables for workers and clients: a Prefect home and profile of our own, no telemetry, the server's password.

    `api_url` is the server's address.
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
    if password := _password():
        environment[_PASSWORD] = password
    if api_url is None:
        return environment
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
    """Variables for a Prefect server of ours at this address: its database, and its password if it shall have one."""
    environment = prefect_environment(settings) | {"PREFECT_UI_API_URL": api_url}
    if settings.prefect_database_url:
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = as_prefect_names_it(settings.prefect_database_url)
    if password := os.environ.get(_SERVERS_PASSWORD):
        environment[_SERVERS_PASSWORD] = password
    return environment


def has_password() -> bool:
    """Whether a server that is started here asks for a password."""
    return bool(os.environ.get(_SERVERS_PASSWORD))


def as_prefect_names_it(database_url: str) -> str:
    """A PostgreSQL address in the spelling of the driver that Prefect's server uses."""
    parts = urlsplit(database_url)
    query = [("ssl" if name == "sslmode" else name, value) for name, value in parse_qsl(parts.query)]
    return urlunsplit(parts._replace(scheme="postgresql+asyncpg", query=urlencode(query, safe="/")))


def asking(url: str) -> urllib.request.Request:
    """A request to the Prefect server, with the password that it may want."""
    request = urllib.request.Request(url)
    if password := _password():
        request.add_header("Authorization", f"Basic {b64encode(password.encode()).decode()}")
    return request


def _password() -> str | None:
    """What opens the Prefect server; who starts one with a password need not name it twice."""
    return os.environ.get(_PASSWORD) or os.environ.get(_SERVERS_PASSWORD)


def clean_environment() -> dict[str, str]:
    """This process's environment without any Prefect setting of the user's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


def known_api_url(settings: Settings) -> str | None:
    """The Prefect server to talk to: PREFECT_API_URL, else the one that `tmm up` started here; None without any."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
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
