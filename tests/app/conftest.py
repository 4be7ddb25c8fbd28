"""A served app and a browser that watches its console and its requests."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from workbench_app.serve import Server, running

from .samples import fill, sample_graph
from .units import fill_units

KNOWN_404 = ("_stcore/health", "_stcore/host-config")  # Streamlit looks for its base path on deep links


@dataclass
class Watched:
    """A page, and what it said and asked for."""

    page: Any
    url: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def check(self) -> None:
        """No console error but the known ones; nothing asked of another machine."""
        assert self.complaints == []
        assert [
            url for url in self.requests if not url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:"))
        ] == []

    def load(self) -> None:
        """Load the model that the page offers, unless another journey has."""
        page = self.page
        offer = page.get_by_test_id("stMain").get_by_role("button", name="Load planted-places", exact=True)
        page.get_by_text("loaded", exact=True).or_(offer).first.wait_for()
        if offer.count():
            offer.click()
        page.get_by_text("loaded", exact=True).first.wait_for()


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Server]:
    """The app on a workspace with graphs (one of hostile tokens, one large), dictionaries and a scan; no downloads."""
    folder = tmp_path_factory.mktemp("served")
    fill(folder / "workspace")
    fill_units(folder / "workspace")
    sample_graph(n_layers=40, per_cell=8).save(folder / "workspace" / "graphs" / "large")
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # for the server alone: other tests of the session go on as before
            patch.setenv("WORKBENCH_CACHE", str(folder / "cache"))
            patch.setenv("WORKBENCH_OFFLINE", "1")
            patch.setenv("OMP_NUM_THREADS", "1")
            server = stack.enter_context(running(folder / "workspace", "planted-places"))
        yield server


@pytest.fixture
def open_tab(served, browser):
    """A function that opens a watched page at a path of the app."""
    contexts = []

    def tab(path: str = "/", dark: bool = False) -> Watched:
        context = browser.new_context(
            viewport={"width": 1400, "height": 1000}, color_scheme="dark" if dark else "light", accept_downloads=True
        )
        contexts.append(context)
        context.set_default_timeout(60_000)
        watched = Watched(context.new_page(), served.url)
        _watch(watched)
        watched.page.goto(served.url + path)
        return watched

    yield tab
    for context in contexts:
        context.close()


def _watch(watched: Watched) -> None:
    def heard(message) -> None:
        known = any(part in (message.location or {}).get("url", "") for part in KNOWN_404)
        if message.type == "error" and not known:
            watched.complaints.append(message.text)

    def socket(found) -> None:
        found.on("framereceived", lambda payload: watched.received.append(len(payload)))
        found.on("framesent", lambda payload: watched.sent.append(len(payload)))

    watched.page.on("console", heard)
    watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    watched.page.on("request", lambda request: watched.requests.append(request.url))
    watched.page.on("websocket", socket)
