"""The simple API of a package index (PEP 503, PEP 691), for environments without pip."""

import configparser
import hashlib
import json
import os
import re
import ssl
import urllib.parse
import urllib.request
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import platformdirs

from workbench.core import FetchError, Interrupted, Progress

_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
_TIMEOUT = 60
_BLOCK = 1 << 20


@dataclass(frozen=True)
class _Link:
    filename: str
    url: str
    sha256: str | None


def download_wheel(
    package: str, version: str, platforms: tuple[str, ...], python: str, folder: Path, progress: Progress
) -> Path:
    """Download the first matching wheel into `folder`; source archives are never looked at.

    Raises:
        FetchError: no index could be reached, none has such a wheel, or the bytes do not match the index's hash.
    """
    reasons = []
    for index in index_urls():
        page = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', package).lower()}/"
        try:
            links = _links(page)
            link = next((link for link in links if _matches(link.filename, package, version, platforms, python)), None)
            if link is not None:
                return _download(link, folder / link.filename, progress)
            reasons.append(f"{index} has no wheel of {package} {version} for {' or '.join(platforms)}")
        except (OSError, ValueError) as error:
            if isinstance(error, FetchError):
                raise
            reasons.append(f"{index}: {getattr(error, 'reason', error)}")
    raise FetchError(
        f"cannot download {package} {version} from the package index",
        found="; ".join(reasons),
        hint="check the network and PIP_INDEX_URL or UV_DEFAULT_INDEX",
    )


def index_urls() -> list[str]:
    """The index first, then extra ones, from uv's and pip's variables and pip's configuration files."""
    config = _pip_config()
    first = next(
        (os.environ[key] for key in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL") if os.environ.get(key)),
        config.get("index-url") or "https://pypi.org/simple",
    )
    extra = " ".join(
        [os.environ.get(key, "") for key in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL")]
        + [config.get("extra-index-url", "")]
    )
    # uv allows `name=url`
    return list(dict.fromkeys(re.sub(r"^[\w-]+=", "", url) for url in [first, *extra.split()]))


def _pip_config() -> dict[str, str]:
    paths = [Path(folder) / "pip" / "pip.conf" for folder in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    paths += [Path("/etc/pip.conf"), Path.home() / ".pip" / "pip.conf"]
    paths += [
        Path(platformdirs.user_config_dir("pip", appauthor=False, roaming=True)) / n for n in ("pip.conf", "pip.ini")
    ]
    if os.environ.get("PIP_CONFIG_FILE"):
        paths.append(Path(os.environ["PIP_CONFIG_FILE"]))
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(paths, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return {}
    return dict(parser["global"]) if parser.has_section("global") else {}


def _open(url: str, accept: str = "*/*"):
    if urllib.parse.urlsplit(url).scheme not in ("https", "http", "file"):
        raise ValueError(f"{url} is not a web address")
    bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE") or _pip_config().get("cert")
    context = ssl.create_default_context(cafile=bundle)
    request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "mech-workbench"})
    return urllib.request.urlopen(request, timeout=_TIMEOUT, context=context)


def _links(page: str) -> list[_Link]:
    url = f"{page}index.html" if page.startswith("file:") else page
    with _open(url, _ACCEPT) as response:
        body, is_json = response.read().decode("utf-8"), "json" in (response.headers.get_content_type() or "")
        base = response.geturl()
    if is_json:
        return [
            _Link(file["filename"], urllib.parse.urljoin(base, file["url"]), file.get("hashes", {}).get("sha256"))
            for file in json.loads(body)["files"]
        ]
    parser = _Anchors()
    parser.feed(body)
    return [_link(urllib.parse.urljoin(base, reference)) for reference in parser.references]


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.references += [value for name, value in attrs if name == "href" and value]


def _link(url: str) -> _Link:
    parts = urllib.parse.urlsplit(url)
    sha256 = parts.fragment.removeprefix("sha256=") if parts.fragment.startswith("sha256=") else None
    return _Link(urllib.parse.unquote(parts.path.rsplit("/", 1)[-1]), parts._replace(fragment="").geturl(), sha256)


def _matches(filename: str, package: str, version: str, platforms: tuple[str, ...], python: str) -> bool:
    if not filename.endswith(".whl"):
        return False
    name, found, *rest = filename.removesuffix(".whl").split("-")
    if len(rest) < 3 or re.sub(r"[-_.]+", "-", name).lower() != re.sub(r"[-_.]+", "-", package).lower():
        return False
    interpreters = {"py3", f"cp{python.replace('.', '')}"}
    return (
        found == version
        and bool(interpreters & set(rest[-3].split(".")))
        and bool(set(platforms) & set(rest[-1].split(".")))
    )


def _download(link: _Link, target: Path, progress: Progress) -> Path:
    digest = hashlib.sha256()
    with _open(link.url) as response, open(target, "wb") as file:
        while block := response.read(_BLOCK):
            digest.update(block)
            file.write(block)
            progress.advance(len(block))
            if progress.cancelled():
                raise Interrupted(f"the download of {link.filename} was cancelled")
    if link.sha256 and digest.hexdigest() != link.sha256:
        target.unlink()
        raise FetchError(
            f"{link.filename} has the wrong checksum and was removed: wanted sha256 {link.sha256}",
            found=f"found {digest.hexdigest()}",
            hint="try again",
        )
    return target
