"""Shared fixtures: every test has its own cache and workspace; nothing asks a hub or leaves anything behind."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):  # more threads than cores wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path.home() / ".cache" / "workbench" / "numba"))  # compiled once
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

settings.register_profile("workbench", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("workbench")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run what takes minutes")
    parser.addoption("--require-real", action="store_true", help="fail instead of skipping without the real model")
    parser.addoption("--require-browser", action="store_true", help="fail instead of skipping without Chromium")


def pytest_collection_modifyitems(config, items):
    opted = {"slow": config.getoption("--slow"), "gpu": _wants(config, "gpu"), "hub": _wants(config, "hub")}
    for item in items:
        for marker, wanted in opted.items():
            if marker in item.keywords and not wanted:
                flag = "--slow" if marker == "slow" else f"-m {marker}"
                item.add_marker(pytest.mark.skip(reason=f"{marker}: opt in with {flag}"))


def _wants(config, marker: str) -> bool:
    return marker in (config.getoption("markexpr") or "")


@pytest.fixture(autouse=True)
def own_places(request, monkeypatch, tmp_path):
    """Cache and workspace in the test's own folder; tests marked `real` see the user's cache."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "workspace"))
    if "real" not in request.keywords:
        monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def chromium(request) -> str:
    """The path of a Chromium or Chrome."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    if request.config.getoption("--require-browser"):
        pytest.fail("no Chromium on PATH")
    pytest.skip("no Chromium on PATH")


@pytest.fixture(scope="session")
def smollm2(request):
    """The real model, fetched if it must be."""
    from workbench.models import load_model

    return fetched(request, lambda: load_model("smollm2-135m-instruct-q4", device="cpu"))


@pytest.fixture(scope="session")
def wikipedia(request):
    """The real text, fetched if it must be."""
    from workbench.data import open_text

    return fetched(request, lambda: open_text("wikipedia-sample"))


def fetched(request, fetch):
    """What `fetch` gives, or a skip (a failure under --require-real) where it cannot be had."""
    from workbench.core import WorkbenchError

    try:
        return fetch()
    except WorkbenchError as error:
        if request.config.getoption("--require-real"):
            raise
        pytest.skip(f"cannot be fetched: {error}")


@pytest.fixture(scope="session")
def browser(chromium):
    """One headless browser for the process: two Playwright drivers in one process disturb each other."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, headless=True, args=flags)
        yield started
        started.close()
