"""A small server that speaks the Hub's API and ModelScope's, with real files, for their real clients."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repository:
    """What was made and committed by a client that uploads."""

    visibility: str
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0


@dataclass
class Site:
    """What the server has, and how it behaves. Files of more than a kilobyte are LFS files, as the Hub's are."""

    files: dict[str, bytes]
    name: str = "someone/tiny"
    revisions: tuple[str, ...] = ("main", "master", COMMIT)
    status: int = 200
    """Of the listing: 401, 403 and 404 as the Hub gives them."""
    error_code: str = ""
    error_message: str = ""
    gated: int = 0
    """The status of each file: a gated repository's listing is open."""
    break_after: int | None = None
    """Bytes of a large file after which the line breaks, every time."""
    stops_at: int | None = None
    """The place in a large file beyond which nothing ever comes."""
    wrong: bool = False
    """Whether large files come with another content than their hash says."""
    tokens: dict[str, str] = field(default_factory=dict)
    """Token → account."""
    repositories: dict[str, Repository] = field(default_factory=dict)
    """Those that were made here, by name; `tokens` says who may."""
    stored: dict[str, bytes] = field(default_factory=dict)
    """Large files that were sent, by the SHA-256 under which a commit names them."""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path with query, headers of every request."""
    address: str = ""

    def ranges(self, file: str) -> list[str | None]:
        """Of each GET of a file its Range header."""
        return [heads.get("range") for method, path, heads in self.asked if method == "GET" and file in unquote(path)]


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.take()

    def do_PUT(self) -> None:
        self.take()

    def log_message(self, *_args: Any) -> None:
        pass

    def answer(self) -> None:
        heads = {name.lower(): value for name, value in self.headers.items()}
        self.site.asked.append((self.command, self.path, heads))
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = unquote(url.path)
        if path == "/api/whoami-v2":
            self.whoami(heads.get("authorization", "").removeprefix("Bearer "))
        elif path.startswith("/api/v1/models/"):
            self.modelscope(path.removeprefix("/api/v1/models/"), query)
        elif path.startswith("/api/models/"):
            self.hub_listing(path.removeprefix("/api/models/"))
        elif found := re.fullmatch(r"/(.+)/resolve/([^/]+)/(.+)", path):
            self.hub_file(*found.groups())
        else:
            self.send(200, b"")

    # The Hub

    def whoami(self, token: str) -> None:
        account = self.site.tokens.get(token)
        if account is None:
            self.refuse(401, "", "Invalid credentials in Authorization header")
        else:
            self.send_json({"name": account, "auth": {"accessToken": {"displayName": "mine", "role": "read"}}})

    def hub_listing(self, path: str) -> None:
        name, _, rest = path.partition("/revision/")
        name, _, tree = name.partition("/tree/")
        if self.site.status != 200:
            self.refuse(self.site.status, self.site.error_code, self.site.error_message)
        elif name != self.site.name:
            self.refuse(401, "", "Invalid username or password.")
        elif (rest or tree or "main") not in self.site.revisions:
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
        elif tree:
            self.send_json(
                [{"type": "file", "path": file, **_blob(content)} for file, content in self.site.files.items()]
            )
        else:
            siblings = [
                {"rfilename": file, "size": len(content), "blobId": _blob(content)["oid"], **_lfs(content)}
                for file, content in self.site.files.items()
            ]
            self.send_json({"id": name, "sha": COMMIT, "siblings": siblings, "private": False})

    def hub_file(self, name: str, revision: str, file: str) -> None:
        content = self.site.files.get(file)
        if self.site.gated:
            said = f"Access to model {name} is restricted."
            self.refuse(self.site.gated, "GatedRepo", said)
        elif name != self.site.name or content is None or revision not in self.site.revisions:
            self.refuse(404, "EntryNotFound", "Entry not found")
        else:
            etag = _lfs(content)["lfs"]["sha256"] if _lfs(content) else _blob(content)["oid"]
            self.send_file(content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    # Uploads to the Hub

    def take(self) -> None:
        heads = {name.lower(): value for name, value in self.headers.items()}
        self.site.asked.append((self.command, self.path, heads))
        body, path = self.rfile.read(int(heads["content-length"])), unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):  # a signed address: it needs no token
            self.site.stored[_sha256(body)] = body
            self.send(200 if found[1] == _sha256(body) else 400, b"")
        elif (account := self.site.tokens.get(heads.get("authorization", "").removeprefix("Bearer "))) is None:
            self.refuse(401, "", "Invalid credentials in Authorization header")
        elif path == "/api/repos/create":
            self.make_repository(account, json.loads(body))
        elif path == "/api/validate-yaml":
            self.send_json({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/(.+)/preupload/main", path):
            files = [
                {"path": one["path"], "uploadMode": "lfs" if one["size"] > 1000 else "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            self.send_json({"files": files})
        elif re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path):
            href = f"{self.site.address}/lfs/"
            objects = [
                one | {"actions": {"upload": {"href": href + one["oid"]}}} for one in json.loads(body)["objects"]
            ]
            self.send_json({"transfer": "basic", "objects": objects})
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main", path):
            self.commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self.refuse(404, "", "Not found")

    def make_repository(self, account: str, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization'] or account}/{wanted['name']}"
        if name in self.site.repositories:
            said = {"error": "You already created this model repo", "url": f"{self.site.address}/{name}"}
            self.send_json(said, 409)
        elif not name.startswith(account + "/"):
            self.refuse(403, "", "You don't have the rights to create a model under this namespace")
        else:
            self.site.repositories[name] = Repository(wanted.get("visibility", "public"))
            self.send_json({"url": f"{self.site.address}/{name}", "name": name})

    def commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Whole or not at all: a large file that nobody sent is refused."""
        added: dict[str, bytes] = {}
        for line in lines:
            said = line["value"]
            if line["key"] == "file":
                added[said["path"]] = base64.b64decode(said["content"])
            elif line["key"] == "lfsFile":
                if said["oid"] not in self.site.stored:
                    self.refuse(400, "", f"LFS pointer to a file that does not exist: {said['path']}")
                    return
                added[said["path"]] = self.site.stored[said["oid"]]
        repository = self.site.repositories[name]
        repository.files |= added
        repository.commits += 1
        self.send_json(
            {"success": True, "commitOid": COMMIT, "commitUrl": f"{self.site.address}/{name}/commit/{COMMIT}"}
        )

    # ModelScope

    def modelscope(self, path: str, query: dict[str, str]) -> None:
        name, _, ending = path.partition("/repo")
        if self.site.status != 200:
            self.send_json(
                {"Code": self.site.status, "Message": self.site.error_message, "Success": False}, self.site.status
            )
        elif name != self.site.name or query.get("Revision") not in self.site.revisions:
            self.send_json({"Code": 10010205001, "Message": "not exists", "Success": False}, 404)
        elif ending == "/files":
            files = [
                {"Path": file, "Name": file, "Type": "blob", "Size": len(content), "Sha256": _sha256(content)}
                for file, content in self.site.files.items()
            ]
            folder = {"Path": "assets", "Name": "assets", "Type": "tree", "Size": 0, "Sha256": ""}
            self.send_json({"Code": 200, "Success": True, "Data": {"Files": [folder, *files]}})
        else:
            self.send_file(self.site.files[query["FilePath"]], {})

    # Both

    def send_file(self, content: bytes, heads: dict[str, str]) -> None:
        large = len(content) > 1000
        if self.site.wrong and large:
            content = bytes(len(content))
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        rest = content[start:]
        if start:
            heads = {**heads, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        limit = self.site.break_after if self.site.stops_at is None else max(0, self.site.stops_at - start)
        if large and limit is not None and self.command == "GET":
            self.send(206 if start else 200, rest, heads, only=limit)
            self.close_connection = True
        else:
            self.send(206 if start else 200, rest, heads)

    def refuse(self, status: int, code: str, said: str) -> None:
        heads = {name: value for name, value in (("X-Error-Code", code), ("X-Error-Message", said)) if value}
        self.send(status, json.dumps({"error": said}).encode(), heads)

    def send_json(self, document: Any, status: int = 200) -> None:
        self.send(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, body: bytes, heads: dict[str, str] | None = None, only: int | None = None) -> None:
        self.send_response(status)
        for name, value in (heads or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:only])
            self.wfile.flush()


def _blob(content: bytes) -> dict[str, Any]:
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    lfs = _lfs(content)
    return {"oid": git, "size": len(content), **({"lfs": {**lfs["lfs"], "oid": lfs["lfs"]["sha256"]}} if lfs else {})}


def _lfs(content: bytes) -> dict[str, Any]:
    if len(content) <= 1000:
        return {}
    return {"lfs": {"sha256": _sha256(content), "size": len(content), "pointerSize": 130}}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
