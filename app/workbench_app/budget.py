"""The app measured as people meet it: a served app of its own, a headless Chromium, each interaction timed."""

import importlib
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch

from workbench.core import CircuitGraph, ConfigError, Manifest, Node, Progress, Result, Silent, Site, Unit, generator

from .budget_config import BUDGETS, AppBenchConfig
from .serve import Server, running

log = logging.getLogger(__name__)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
PROMPT = "When Mary and John went to the store, John gave a drink to"
FOLDERS = ("dictionaries", "stores", "graphs", "results")


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
    with tempfile.TemporaryDirectory(prefix="workbench-bench-app-") as folder:
        place, testable = _furnish(Path(folder), workspace, config)
        began = time.monotonic()
        with running(place, config.model) as server, playwright.sync_playwright() as driver:
            started = time.monotonic() - began
            chrome = driver.chromium.launch(executable_path=browser, headless=True, args=list(SWITCHES))
            try:
                bench = _Bench(server, chrome, config, progress, testable)
                bench.note("server start to health", started)
                bench.run()
            finally:
                chrome.close()
    return bench.result()


def _furnish(folder: Path, workspace: Path | None, config: AppBenchConfig) -> tuple[Path, str]:
    """A workspace with graphs of known sizes, and links to what another one holds; a graph that can be tested."""
    place, testable = folder / "workspace", ""
    for kind in FOLDERS:
        (place / kind).mkdir(parents=True)
        found = sorted((workspace / kind).iterdir()) if workspace and (workspace / kind).is_dir() else []
        for path in found:
            if path.is_dir() and not path.name.startswith("."):
                (place / kind / path.name).symlink_to(path.resolve())
                testable = testable or (path.name if kind == "graphs" else "")
    for nodes in config.nodes:
        graph_of_size(nodes).save(place / "graphs" / f"bench-{nodes}")
    return place, testable


def graph_of_size(nodes: int, tokens: int = 16, seed: int = 0) -> CircuitGraph:
    """A random graph of that many nodes, ten edges a node."""
    draw = generator(seed, "budget", nodes)
    layers, per = 24, max(1, (nodes - tokens - 1) // (24 * (tokens - 1)))
    made = [Node("embed", -1, t, index=t, activation=1.0) for t in range(tokens)]
    slots = [(layer, t, i) for layer in range(layers) for t in range(1, tokens) for i in range(per + 1)]
    chosen = torch.randperm(len(slots), generator=draw)[: nodes - tokens - 1].sort().values.tolist()
    for layer, t, i in (slots[c] for c in chosen):
        unit = Unit("transcoder", "bench", Site("mlp_in", layer), 100 * t + i)
        made.append(Node("feature", layer, t, 100 * t + i, unit, 1.0, 0.5))
    made.append(Node("logit", layers, tokens - 1, label="target"))
    shares = torch.rand(len(made), generator=draw)
    effects = torch.randn(len(made), generator=draw)
    made = [
        Node(**{**vars(node), "influence": float(share / shares.sum()), "effect": float(effect)})
        for node, share, effect in zip(made, shares, effects, strict=True)
    ]
    pairs = torch.randint(len(made), (10 * len(made), 2), generator=draw).tolist()
    kept = {
        (s, t)
        for s, t in pairs
        if made[s].layer < made[t].layer and made[s].position <= made[t].position and made[t].kind != "embed"
    }
    source, target = torch.tensor(sorted(kept)).T.contiguous()
    weight = torch.randn(len(kept), generator=draw)
    words = tuple(f" word{t}" for t in range(tokens))
    return CircuitGraph(
        tuple(made), source, target, weight, torch.zeros(len(made)), words, tuple(range(tokens)), layers,
        "a benchmark", 1.0, manifest=Manifest(kind="graph"),
    )  # fmt: skip


@dataclass
class _Bench:
    server: Server
    chrome: Any
    config: AppBenchConfig
    progress: Progress
    testable: str
    seen: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def note(self, name: str, value: float) -> None:
        self.seen.setdefault(name, []).append(value)
        log.info("%s: %.3g", name, value)

    def result(self) -> Result:
        rows = []
        for budget in BUDGETS:
            values = self.seen.get(budget.name)
            measured = statistics.median(values) if values else None
            inside = None if measured is None else measured <= budget.target
            row = {"what": budget.name, "measured": measured, "target": budget.target, "unit": budget.unit}
            rows.append({**row, "within": inside, "times": len(values or ())})
        known = [row["within"] for row in rows if row["within"] is not None]
        return Result(
            "app_budget",
            {"rows": float(len(rows)), "measured": float(len(known)), "within": float(sum(known))},
            {"budget": rows},
            params=self.config.model_dump(),
            notes=("medians of what was repeated; one browser on this machine, software rendering", *self.notes),
            partial=self.progress.cancelled(),
        )

    def run(self) -> None:
        parts: tuple[tuple[str, Callable[[], None]], ...] = (
            ("loading the model", self.load),
            ("first visits", self.first_visits),
            ("pages", self.pages),
            ("prompts", self.prompts),
            ("tabs", self.tabs),
            ("graphs", self.graphs),
            ("a long prompt", self.long_prompt),
            ("a cancelled job", self.cancelled),
            ("another session", self.memory),
        )
        self.progress.phase("measuring the app", len(parts), "parts")
        for name, part in parts:
            if self.progress.cancelled():
                return
            try:
                part()
            except Exception as error:  # one part that cannot be measured leaves the others
                self.notes.append(f"{name}: not measured ({type(error).__name__}: {str(error).splitlines()[0][:160]})")
            self.progress.partial(self.result())
            self.progress.advance()

    @contextmanager
    def page(self) -> Iterator[Any]:
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
        return f"{self.server.url}{path}"

    def prompt_url(self, text: str = PROMPT, more: str = "") -> str:
        return self.url(f"/prompt?m={quote(self.config.model)}&q={quote(text)}{more}")

    def load(self) -> None:
        with self.page() as tab:
            tab.goto(self.prompt_url())
            button = tab.get_by_role("button", name=f"Load {self.config.model}", exact=True)
            button.or_(tab.locator("textarea")).first.wait_for()
            if button.count():
                button.click()
            tab.locator(".flow .token").nth(5).wait_for()

    def first_visits(self) -> None:
        for _ in range(min(3, self.config.repeats)):
            with self.page() as tab:
                began = time.monotonic()
                tab.goto(self.url("/"), wait_until="commit")
                tab.get_by_role("heading", level=1).first.wait_for()
                self.note("first visit, cold: title", time.monotonic() - began)
            with self.page() as tab:
                began = time.monotonic()
                tab.goto(self.prompt_url(), wait_until="commit")
                tab.locator(".flow .token").nth(5).wait_for()
                self.note("first visit, cold: tokens", time.monotonic() - began)
            if self.testable:
                with self.page() as tab:
                    began = time.monotonic()
                    tab.goto(self.url(f"/circuits?ci={quote(self.testable)}"), wait_until="commit")
                    tab.locator(".js-plotly-plot").first.wait_for()
                    self.note("first visit, cold: first plotly chart", time.monotonic() - began)

    def pages(self) -> None:
        with self.page() as tab:
            tab.goto(self.prompt_url())
            tab.locator(".flow .token").nth(5).wait_for()
            for _ in range(self.config.repeats):
                began = time.monotonic()
                tab.reload(wait_until="commit")
                tab.locator(".flow .token").nth(5).wait_for()
                self.note("reload, warm", time.monotonic() - began)
            links = tab.get_by_test_id("stSidebarNavLink")
            names = [links.nth(i).inner_text().split("\n")[-1] for i in range(links.count())]
            slowest: dict[str, list[float]] = {}
            for turn in range(3):
                for i, name in enumerate(names):
                    began = time.monotonic()
                    links.nth(i).click()
                    wanted = "workbench" if name == "Home" else name
                    tab.get_by_role("heading", name=wanted, exact=True, level=1).wait_for()
                    tab.wait_for_function(
                        "!document.querySelector('[data-testid=stApp][data-test-script-state=running]')"
                    )
                    if turn:
                        spent = time.monotonic() - began
                        self.note("page switch, warm: median", spent)
                        slowest.setdefault(name, []).append(spent)
            worst = max(slowest, key=lambda name: statistics.median(slowest[name]))
            self.note("page switch, warm: slowest page", statistics.median(slowest[worst]))
            self.notes.append(f"slowest page: {worst}")

    def prompts(self) -> None:
        words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
        with self.page() as tab:
            tab.goto(self.prompt_url())
            tab.locator(".flow .token").nth(5).wait_for()

            def ask(text: str, mark: str) -> float:
                tab.locator("textarea").fill(text)
                tab.wait_for_timeout(700)
                began = time.monotonic()
                tab.keyboard.press("Control+Enter")
                tab.wait_for_function(
                    "mark => [...document.querySelectorAll('*')].some(n => n.shadowRoot && [...n.shadowRoot."
                    "querySelectorAll('.flow .token')].some(t => t.innerText.includes(mark)))",
                    arg=mark,
                )
                return time.monotonic() - began

            for turn in range(self.config.repeats):
                text = " ".join(words[(turn + i) % 10] for i in range(60)) + f" zebra{turn}"
                self.note("prompt Enter to tokens, 64 new tokens", ask(text, f"{turn}"))
                self.note("prompt Enter to tokens, seen before", ask(PROMPT, "Mary"))

    def tabs(self) -> None:
        with self.page() as tab:
            tab.goto(self.prompt_url())
            tokens = tab.locator(".flow .token")
            tokens.nth(5).wait_for()
            tab.get_by_text("After position").wait_for()
            for turn in range(self.config.repeats):
                tab.wait_for_timeout(800)
                self.received.clear()
                began = time.monotonic()
                tokens.nth(3 + turn).click()
                tab.get_by_text(f"After position {3 + turn}").wait_for()
                self.note("token click to page", time.monotonic() - began)
                tab.wait_for_timeout(500)
                self.note("received per token click", sum(self.received) / 1000)
            self._hover(tab, tokens)
            tab.get_by_role("tab", name="Logit lens").click()
            canvas = tab.locator(".scroll canvas")
            canvas.wait_for()
            for turn in range(self.config.repeats):
                tab.get_by_role("tab", name="Next token").click()
                canvas.wait_for(state="detached")
                tab.wait_for_timeout(500)
                began = time.monotonic()
                tab.get_by_role("tab", name="Logit lens").click()
                canvas.wait_for()
                self.note("logit lens tab, computed before", time.monotonic() - began)
                tab.wait_for_timeout(700)
                began = time.monotonic()
                canvas.click(position={"x": 40 + 62 * (4 + turn) + 20, "y": 22 + 21 * (2 + turn) + 10})
                tab.get_by_text(f", position {4 + turn}").first.wait_for()
                self.note("heat-cell click to page", time.monotonic() - began)
            tab.get_by_role("tab", name="Attention").click()
            grid = tab.get_by_role("img", name="Attention patterns of")
            grid.wait_for()
            tab.wait_for_timeout(1200)
            self.note("attention maps: draw", float(grid.get_attribute("data-ms") or "nan"))
            step = float(grid.get_attribute("data-step") or 30)
            for turn in range(self.config.repeats):
                tab.wait_for_timeout(700)
                began = time.monotonic()
                grid.click(position={"x": 34 + step * (turn + 1) + 8, "y": 20 + step + 8})
                tab.get_by_text(f"layer {turn + 1}, head 1").first.wait_for()
                self.note("attention maps: click", time.monotonic() - began)

    def _hover(self, tab: Any, tokens: Any) -> None:
        tab.wait_for_timeout(1500)
        self.sent.clear()
        spent = tokens.nth(5).evaluate(
            "node => { const began = performance.now(); node.dispatchEvent(new MouseEvent('mousemove', {bubbles: true,"
            " clientX: 300, clientY: 300})); return performance.now() - began; }"
        )
        self.note("hover: tooltip", spent)
        for at in (5, 7, 9):
            tokens.nth(at).hover()
            tab.wait_for_timeout(150)
        self.note("hover: messages to the server", float(len(self.sent)))

    def graphs(self) -> None:
        for size in self.config.nodes:
            with self.page() as tab:
                tab.goto(self.url(f"/circuits?ci=bench-{size}"))
                nodes = tab.locator("g.node.feature")
                nodes.first.wait_for()
                for _ in range(4):
                    more = tab.locator("button.chip.more")
                    every = tab.locator("button.chip", has_text="of the influence")
                    if every.count():
                        every.first.click()
                    elif more.count():
                        more.first.click()
                    tab.wait_for_timeout(300)
                box = tab.locator(".box[role=application]")
                drawn = []
                for _ in range(self.config.repeats):
                    tab.locator("input.errors").click()
                    tab.wait_for_timeout(400)
                    drawn.append(float(box.get_attribute("data-ms") or "nan"))
                self.notes.append(
                    f"graph of {size}: {nodes.count()} features drawn in {statistics.median(drawn):.0f} ms"
                )
                if size != max(self.config.nodes):
                    continue
                for spent in drawn:
                    self.note("graph draw", spent)
                for turn in range(self.config.repeats):
                    tab.wait_for_timeout(900)
                    self.received.clear()
                    before = tab.url
                    began = time.monotonic()
                    nodes.nth(7 * turn + 3).dispatch_event("click")
                    tab.wait_for_url(lambda url, before=before: url != before and "ci_sel" in url)
                    self.note("graph node click", time.monotonic() - began)
                    tab.wait_for_timeout(700)
                    self.note("received per node click", sum(self.received) / 1000)

    def long_prompt(self) -> None:
        text = " ".join(f"the {i % 10}" for i in range(self.config.tokens // 3))
        with self.page() as tab:
            tab.goto(self.prompt_url())
            tab.locator(".flow .token").nth(5).wait_for()
            tab.locator("textarea").fill(text)
            tab.wait_for_timeout(900)
            tab.keyboard.press("Control+Enter")
            tokens = tab.locator(".flow .token")
            tokens.nth(300).wait_for()
            tab.wait_for_timeout(3000)
            self.notes.append(f"long prompt: {tokens.count()} tokens")
            for turn in range(self.config.repeats):
                tab.wait_for_timeout(900)
                began = time.monotonic()
                tokens.nth(200 + turn).click()
                tab.get_by_text(f"After position {200 + turn}").wait_for()
                self.note("long prompt: token click", time.monotonic() - began)

    def cancelled(self) -> None:
        if not self.testable:
            self.notes.append("a cancelled job: no graph with dictionaries; name a workspace that has one")
            return
        with self.page() as tab:
            tab.goto(self.url(f"/circuits?ci={quote(self.testable)}&ci_tab=Validate"))
            tab.get_by_test_id("stMain").get_by_role("button", name="Run the tests").click()
            cancel = tab.get_by_test_id("stMain").get_by_role("button", name="Cancel").first
            cancel.wait_for()
            tab.get_by_text("measuring").first.wait_for()
            began = time.monotonic()
            cancel.click()
            cancel.wait_for(state="detached")
            self.note("job cancelled", time.monotonic() - began)

    def memory(self) -> None:
        def resident() -> float:
            lines = Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000

        before = resident()
        with self.page() as tab:
            tab.goto(self.prompt_url())
            tab.locator(".flow .token").nth(5).wait_for()
            tab.goto(self.url(f"/circuits?ci=bench-{max(self.config.nodes)}"))
            tab.locator("g.node.feature").first.wait_for()
            self.note("memory of one more session", resident() - before)
