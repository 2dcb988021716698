"""A completions server on the loopback address: it answers by a model in memory, or in wrong ways that servers have."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

Change = Callable[[dict[str, Any]], Any]


@dataclass
class CompletionsServer:
    """The answers of the server; `url` is its base_url, `prompts` counts those it was asked for.

    `change` alters an answer before it is sent; where that is an int it is sent as the HTTP status.
    """

    model: Any
    url: str = ""
    prompts: int = 0
    change: Change = field(default=lambda answer: answer)

    @torch.no_grad()
    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return what vLLM answers to echo=true, logprobs=1, max_tokens=1: log-probabilities of all tokens and one."""
        assert asked["echo"] is True
        assert asked["logprobs"] == 1
        choices = []
        for index, ids in enumerate(asked["prompt"]):
            log_p = self.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            own = [None, *(float(log_p[i, t]) for i, t in enumerate(ids[1:]))]
            values = [*own, float(log_p[-1].max())]
            tops = [None, *({"?": float(log_p[i].max())} for i in range(len(ids)))]
            choices.append({"index": index, "text": "", "logprobs": {"token_logprobs": values, "top_logprobs": tops}})
        self.prompts += len(choices)
        return {"choices": choices}


@contextmanager
def completions_server(model: Any, change: Change | None = None) -> Iterator[CompletionsServer]:
    """Serve until the block ends."""
    served = CompletionsServer(model)
    if change is not None:
        served.change = change

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made = served.change(served.answer(json.loads(body)))
            self._send(made if isinstance(made, int) else 200, {} if isinstance(made, int) else made)

        def _send(self, status: int, what: Any) -> None:
            data = what if isinstance(what, bytes) else json.dumps(what).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/v1/completions"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
