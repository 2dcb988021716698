"""A hub on the loopback address: repositories with revisions, some gated, and a log of what was asked for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

Files = dict[str, bytes]


@dataclass
class Repository:
    """Commits by their hash, and the branches and tags that name them."""

    gated: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def commit_of(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.names.get(revision)


@dataclass
class LoopbackHub:
    """The repositories that the hub serves; `url` is its HF_ENDPOINT, `log` holds `METHOD path` of each request."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def push(self, repo: str, folder: Path, revision: str = "main", *, gated: bool = False) -> str:
        """Add a folder's files as a commit that `revision` names from now on."""
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        files.setdefault(".gitattributes", b"*.safetensors filter=lfs\n")
        digest = hashlib.sha1(repr([(n, _oid(b)) for n, b in sorted(files.items())]).encode()).hexdigest()
        found = self.repositories.setdefault(repo, Repository())
        found.gated = gated
        found.commits[digest] = files
        found.names[revision] = digest
        return digest

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of a GET."""
        parts = [unquote(p) for p in urlsplit(path).path.strip("/").split("/")]
        if parts[:2] == ["api", "models"] and len(parts) >= 4:
            return self._api("/".join(parts[2:4]), parts[4:])
        if len(parts) > 4 and parts[2] == "resolve":
            return self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return 404, {}, b""

    def _api(self, repo: str, rest: list[str]) -> tuple[int, dict[str, str], bytes]:
        found = self.repositories.get(repo)
        if found is None:
            return _refusal(401, "RepoNotFound")
        if rest[:1] == ["refs"]:
            branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in found.names.items()]
            return 200, {}, json.dumps({"branches": branches, "tags": [], "converts": []}).encode()
        commit = found.commit_of(rest[1] if len(rest) > 1 else "main")
        if commit is None:
            return _refusal(404, "RevisionNotFound")
        files = found.commits[commit]
        if rest[:1] == ["tree"]:
            folder = "".join(f"{part}/" for part in rest[2:])
            files = {name: body for name, body in files.items() if name.startswith(folder)}
            if not files:
                return _refusal(404, "EntryNotFound")
            entries = [{"type": "file", "path": n, "size": len(b), "oid": _oid(b)} for n, b in files.items()]
            return 200, {}, json.dumps(entries).encode()
        about: dict[str, Any] = {"id": repo, "sha": commit, "siblings": [{"rfilename": n} for n in files], "tags": []}
        return 200, {}, json.dumps({**about, "modelId": repo, "private": False}).encode()

    def _file(self, repo: str, revision: str, name: str) -> tuple[int, dict[str, str], bytes]:
        found = self.repositories.get(repo)
        if found is None:
            return _refusal(401, "RepoNotFound")
        if found.gated:
            return _refusal(403, "GatedRepo")
        commit = found.commit_of(revision)
        if commit is None:
            return _refusal(404, "RevisionNotFound")
        body = found.commits[commit].get(name)
        if body is None:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        return 200, {"ETag": f'"{_oid(body)}"', "X-Repo-Commit": commit}, body


def _oid(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


def _refusal(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"X-Error-Code": code, "X-Error-Message": code}, json.dumps({"error": code}).encode()


@contextmanager
def serving() -> Iterator[LoopbackHub]:
    """A hub that listens on a free port of the loopback address."""
    hub = LoopbackHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            hub.log.append(f"{self.command} {self.path}")
            status, headers, body = hub.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def asked_by(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[LoopbackHub]:
    """A hub that this process asks, with this folder as its cache and the network allowed."""
    with serving() as served:
        files = f"{served.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield served
