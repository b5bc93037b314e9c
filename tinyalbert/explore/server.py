"""The page on this machine: one address of 127.0.0.1, and nobody else's questions.

A page of another site that is open in the same browser can send requests here too.  So a request
must name this very address as its host (which a name that was rebound to 127.0.0.1 does not), and
a question must come from the page itself and be JSON.
"""

import json
import threading
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from ..errors import UserError
from ..strict_json import loads
from .page import TYPES, files, live_page
from .views import answer

ADDRESS = "127.0.0.1"
PORT = 8765
LONGEST_QUESTION = 200_000  # bytes


class ExplorerServer(ThreadingHTTPServer):
    """Serves one Explorer on 127.0.0.1.  port: 0 takes any that is free."""

    daemon_threads = True

    def __init__(self, explorer, port=PORT):
        self.explorer = explorer
        self.files = files()
        self.page, hashes = live_page()
        self.policy = (
            f"default-src 'self'; script-src 'self' {' '.join(hashes)}; img-src data:; "
            "frame-ancestors 'none'"
        )
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as problem:
            raise UserError(
                f"port {port} of {ADDRESS} can't be used ({problem}); choose another: --port "
                f"{port + 1 if 0 < port < 65535 else PORT}, or --port 0 for any that is free"
            ) from None

    @property
    def url(self):
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def handle_error(self, request, client_address):
        """A browser that goes away in the middle of an answer is no error."""


class _Handler(BaseHTTPRequestHandler):
    """GET gives the page and its files, POST /ask/VIEW an answer, POST /quit ends the server."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urlsplit(self.path).path
        name = path.removeprefix("/page/")
        if not self._is_own_host():
            self._refuse(403, "this page is only for the machine it runs on")
        elif path == "/":
            self._send(200, self.server.page.encode("utf-8"), "text/html")
        elif path.startswith("/page/") and name in self.server.files:
            self._send(200, self.server.files[name], TYPES[name[name.rindex(".") :]])
        else:
            self._refuse(404, f"there is no {path}")

    def do_POST(self):
        path = urlsplit(self.path).path
        if not (self._is_own_host() and self._is_own_page()):
            self._refuse(403, "only the page itself may ask")
        elif path == "/quit":
            self._send_json(200, {"ended": True})
            threading.Thread(target=self.server.shutdown).start()
        elif path.startswith("/ask/"):
            self._answer(path.removeprefix("/ask/"))
        else:
            self._refuse(404, f"there is no {path}")

    def _answer(self, view):
        size = self.headers.get("Content-Length", "")
        if not size.isdigit() or int(size) > LONGEST_QUESTION:
            self._refuse(
                413, f"a question of {size or 'unknown'} bytes; at most {LONGEST_QUESTION}"
            )
            return
        try:
            question = loads(self.rfile.read(int(size)).decode())
        except ValueError:
            self._refuse(400, "the question is not JSON")
            return
        explorer = self.server.explorer
        try:
            renewed = explorer.refresh()
            found = answer(explorer, view, question)
            self._send_json(200, {**found, "renewed": renewed})
        except UserError as problem:
            self._refuse(422, str(problem))
        except OSError as problem:  # the folder is being replaced under us
            self._refuse(422, f"the folder can't be read now ({problem}); try again")

    def _is_own_host(self):
        return self.headers.get("Host") in self._own_names()

    def _is_own_page(self):
        """Whether a question comes from the page, and could not be a form of another site."""
        origin = self.headers.get("Origin")
        own = {f"http://{name}" for name in self._own_names()}
        site = self.headers.get("Sec-Fetch-Site", "same-origin")
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        return origin in {*own, None} and site == "same-origin" and kind == "application/json"

    def _own_names(self):
        port = self.server.server_port
        return {f"{ADDRESS}:{port}", f"localhost:{port}"}

    def _refuse(self, code, message):
        self.close_connection = True  # what is left of the request is not read
        self._send_json(code, {"error": message})

    def _send_json(self, code, value):
        self._send(code, json.dumps(value, ensure_ascii=False).encode("utf-8"), "application/json")

    def _send(self, code, content, kind):
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", self.server.policy)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format, *args):
        """Requests are not printed."""


def serve(explorer, port=PORT, browser=True, say=print):
    """Serve until Ctrl-C or until the page asks to end."""
    with ExplorerServer(explorer, port) as server:
        say(f"{explorer.folder} on {server.url} (this machine only); Ctrl-C ends it")
        if browser:
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        server.serve_forever(poll_interval=0.2)
    say("ended")
