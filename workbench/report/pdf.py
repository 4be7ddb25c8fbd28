"""PDF: the HTML report printed by a Chromium or Chrome, else by weasyprint where it is installed."""

import importlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from workbench.core import ConfigError, WorkbenchError

from .html import report_html
from .report import Report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
SWITCHES = (
    *("--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-quic", "--no-pdf-header-footer", "--virtual-time-budget=8000"),
)
SECONDS = 120


def find_browser() -> str | None:
    """The first known browser on PATH."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def report_pdf(report: Report) -> bytes:
    """The light HTML report, printed.

    Raises:
        ConfigError: neither a browser nor weasyprint is there.
        WorkbenchError: the browser failed.
    """
    page = report_html(report)
    if browser := find_browser():
        return _print(browser, page)
    try:
        weasyprint = importlib.import_module("weasyprint")
    except ImportError:
        raise ConfigError(
            "cannot make a PDF",
            found="neither Chromium or Chrome on PATH nor the package weasyprint",
            hint="install one (pip install 'mech-workbench[pdf]'), or print report.html from a browser",
        ) from None
    return weasyprint.HTML(string=page).write_pdf()


def _print(browser: str, page: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="workbench-pdf-") as folder:
        source, target = Path(folder) / "report.html", Path(folder) / "report.pdf"
        source.write_text(page, encoding="utf-8")
        # Chromium refuses its sandbox to the superuser; the page is our own and runs no script.
        sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        command = [browser, *SWITCHES, *sandbox, f"--user-data-dir={folder}/profile"]
        command += [f"--print-to-pdf={target}", source.as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise WorkbenchError("cannot make a PDF", found=f"{browser} did not finish in {SECONDS} s") from None
        if not target.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise WorkbenchError("cannot make a PDF", found=f"{browser}: {said[-1] if said else 'no output'}")
        return target.read_bytes()
