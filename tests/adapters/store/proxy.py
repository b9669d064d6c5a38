"""A network between a client and PostgreSQL that can lose the answer to a statement."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Network:
    """Passes everything on, until it is told to lose the answer to what holds some words."""

    def __init__(self, server_socket: str) -> None:
        self._server_socket = server_socket
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._losing: bytes | None = None
        self.lost = threading.Event()

    def lose_the_answer_to(self, words: bytes) -> None:
        self.lost.clear()
        self._losing = words

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._server_socket)
        committed = threading.Event()

        def back() -> None:
            with suppress(OSError):
                while data := server.recv(65536):
                    if committed.is_set():
                        break  # the server has answered: it is done, and the client will never know
                    client.sendall(data)
            self._close(client, server)

        threading.Thread(target=back, daemon=True).start()
        with suppress(OSError):
            while data := client.recv(65536):
                if self._losing is not None and self._losing in data:
                    self._losing = None
                    committed.set()
                    self.lost.set()
                server.sendall(data)
        if not committed.is_set():
            self._close(client, server)

    @staticmethod
    def _close(*ends: Any) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    @classmethod
    @contextmanager
    def to(cls, server_socket: str) -> Iterator["Network"]:
        network = cls(server_socket)
        threading.Thread(target=network._accept, daemon=True).start()
        try:
            yield network
        finally:
            network._listener.close()
