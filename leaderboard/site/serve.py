"""A server of the built site for this machine only."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

from groundbench.api.errors import GroundbenchError


class _Quiet(SimpleHTTPRequestHandler):
    """Plain files only: no listings, no guessing of types by the browser, no fault that ends in a traceback."""

    server_version = "groundbench"
    sys_version = ""
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of every request."""

    def end_headers(self) -> None:
        """Return the headers of every answer."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def list_directory(self, path: Any) -> BytesIO | None:
        """Refused."""
        self.send_error(HTTPStatus.NOT_FOUND)
        return None

    def send_head(self) -> Any:
        """Return a file, or 404 for paths that no file system has."""
        try:
            return super().send_head()
        except (ValueError, OSError):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None

    def handle_one_request(self) -> None:
        """Return one request; a visitor who hangs up is no fault."""
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of `folder` on the loopback address; the caller runs and closes it. Raises GroundbenchError."""
    try:
        return _Server(("127.0.0.1", port), partial(_Quiet, directory=str(folder)))
    except OSError as error:
        raise GroundbenchError(f"port {port} cannot be used ({error.strerror}); choose another --port") from None
