"""What measures the app: a browser, the app that it visits, and the values of every row so far."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from workbench.core import Progress, Result

from .budget_config import BUDGETS, AppBenchConfig
from .serve import Server

log = logging.getLogger(__name__)
PROMPT = "When Mary and John went to the store, John gave a drink to"


@dataclass
class Bench:
    """A browser, the app that it visits, and what was measured so far.

    Attributes:
        testable: a graph of the workspace that tests can be run on; empty where there is none.
        received, sent: bytes of every message of the open pages.
    """

    chrome: Any
    config: AppBenchConfig
    progress: Progress
    folder: Path
    server: Server | None = None
    testable: str = ""
    seen: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    @property
    def workspace(self) -> Path:
        """The folder that the app is served on."""
        return self.folder / "workspace"

    def note(self, name: str, value: float) -> None:
        """One more value of a row."""
        self.seen.setdefault(name, []).append(value)
        log.info("%s: %.3g", name, value)

    def measure(self, name: str, part: Any) -> None:
        """One section; where it cannot be measured it says so and leaves the others."""
        if self.progress.cancelled():
            return
        try:
            part(self)
        except Exception as error:
            told = str(error).strip().splitlines() or [""]
            self.notes.append(f"{name}: not measured to the end ({type(error).__name__}: {told[0][:160]})")
            log.debug("section %s", name, exc_info=True)
        self.progress.partial(self.result())
        self.progress.advance()

    def result(self) -> Result:
        """The rows of the chosen sections, measured beside target."""
        rows = []
        for budget in BUDGETS:
            if budget.section not in self.config.sections():
                continue
            values = self.seen.get(budget.name, [])
            median, high = (float(np.percentile(values, share)) for share in (50, 95)) if values else (None, None)
            inside = None if high is None else high <= budget.target
            row = {"what": budget.name, "median": median, "p95": high, "target": budget.target, "unit": budget.unit}
            rows.append({"section": budget.section, **row, "within": inside, "times": len(values)})
        known = [row["within"] for row in rows if row["within"] is not None]
        return Result(
            "app_budget",
            {"rows": float(len(rows)), "measured": float(len(known)), "within": float(sum(known))},
            {"budget": rows},
            params=self.config.model_dump(),
            notes=("95th percentile beside target; one browser on this machine, software rendering", *self.notes),
            partial=self.progress.cancelled(),
        )

    @contextmanager
    def page(self) -> Iterator[Any]:
        """A page of a visitor of his own, with nothing in its caches."""
        context = self.chrome.new_context(viewport={"width": 1400, "height": 1000})
        context.set_default_timeout(1000 * self.config.seconds)
        tab = context.new_page()

        def socket(found: Any) -> None:
            found.on("framereceived", lambda payload: self.received.append(len(payload)))
            found.on("framesent", lambda payload: self.sent.append(len(payload)))

        tab.on("websocket", socket)
        try:
            yield tab
        finally:
            context.close()

    def url(self, path: str = "/") -> str:
        """The address of a page of the served app."""
        assert self.server is not None
        return f"{self.server.url}{path}"

    def prompt_url(self, text: str = PROMPT, more: str = "") -> str:
        """The address of a prompt."""
        return self.url(f"/prompt?m={quote(self.config.model)}&q={quote(text)}{more}")

    def load(self) -> None:
        """Have the model loaded, by its button."""
        with self.page() as tab:
            tab.set_default_timeout(120_000)
            tab.goto(self.prompt_url())
            button = tab.get_by_role("button", name=f"Load {self.config.model}", exact=True)
            button.or_(tab.locator("textarea")).first.wait_for()
            if button.count():
                button.click()
            tab.locator(".flow .token").nth(5).wait_for()
