"""A network between a machine and Prefect that can be cut, and a PostgreSQL in which Prefect itself can live."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.journeys.conftest import eventually


class Network:
    """Passes everything on to a port of this machine, until it is cut: then nothing connects."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accept()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Nothing passes inside the `with`."""
        self.close()
        try:
            yield
        finally:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._accept()

    def close(self) -> None:
        for one in (self._listener, *list(self._open)):
            _close(one)
        self._open.clear()

    def _accept(self) -> None:
        threading.Thread(target=self._take, args=(self._listener,), daemon=True).start()

    def _take(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._to), timeout=10)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                self._open |= {client, server}
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        _close(one)
        _close(other)
        self._open -= {one, other}


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def postgres_of_this_system() -> Iterator[str | None]:
    """The address of a PostgreSQL that has what Prefect asks of one (the extension pg_trgm), or None without any.

    The one that other tests use comes without extensions.
    """
    programs = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None)
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    if programs is None or not any(Path("/usr/share/postgresql").glob("*/extension/pg_trgm.control")):
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="tmm-prefect-"))
    shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [programs.with_name(program), *arguments],
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    data, address = str(folder / "data"), f"postgresql://{user}@/postgres?host={folder}"
    assert run("initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync").wait(60) == 0
    server = run("postgres", "-D", data, "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off")
    try:
        eventually(lambda: any(folder.glob(".s.PGSQL.*")), within=30, what="a PostgreSQL of this system")
        yield address
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
