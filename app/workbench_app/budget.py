"""The app measured as people meet it: a served app of its own, a headless Chromium, each interaction timed."""

import importlib
import shutil
import tempfile
from pathlib import Path

from workbench.core import ConfigError, Progress, Result, Silent

from .budget_bench import Bench
from .budget_config import AppBenchConfig
from .budget_sections import MEASURE
from .budget_workspace import furnish
from .serve import running

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


def measure_app(config: AppBenchConfig, workspace: Path | None = None, progress: Progress | None = None) -> Result:
    """Every row of the budget that could be measured here (kind `app_budget`, table `budget`).

    Args:
        workspace: whose graphs and dictionaries the job that is cancelled uses; it is only read.

    Raises:
        ConfigError: no Chromium, or no Playwright.
    """
    progress = progress or Silent()
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise ConfigError("no Chromium or Chrome on PATH", hint="apt-get install chromium")
    try:
        playwright = importlib.import_module("playwright.sync_api")
    except ImportError:
        raise ConfigError("measuring needs Playwright", hint="pip install playwright") from None
    names = config.sections()
    with tempfile.TemporaryDirectory(prefix="workbench-bench-app-") as folder, playwright.sync_playwright() as driver:
        chrome = driver.chromium.launch(executable_path=browser, headless=True, args=list(SWITCHES))
        bench = Bench(chrome, config, progress, Path(folder))
        progress.phase("measuring the app", len(names), "sections")
        try:
            if "start" in names:
                bench.measure("start", MEASURE["start"])
            if rest := [name for name in names if name != "start"]:
                bench.testable = furnish(bench.workspace, workspace, config.model, config.nodes)
                with running(bench.workspace, config.model) as bench.server:
                    bench.load()
                    for name in rest:
                        bench.measure(name, MEASURE[name])
        finally:
            chrome.close()
    return bench.result()
