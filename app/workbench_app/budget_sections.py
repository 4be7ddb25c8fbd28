"""What is done in the browser to measure each section of the budget."""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from .budget_bench import PROMPT, Bench
from .budget_clock import seconds, text, visit, wait
from .serve import free_port

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def sentence(turn: int, words: int = 60) -> str:
    """A prompt of about 64 tokens that differs from turn to turn and ends in its number."""
    return " ".join(WORDS[(turn + i) % 10] for i in range(words)) + f" zebra{turn}"


def tokens_of(tab: Any) -> Any:
    """The tokens of a prompt once they are painted."""
    tokens = tab.locator(".flow .token")
    tokens.nth(5).wait_for()
    return tokens


def start(bench: Bench) -> None:
    """The command in an empty folder, without a model, until its server answers and until Home can be read."""
    for turn in range(min(3, bench.config.repeats)):
        port, place = free_port(), bench.folder / f"fresh-{turn}"
        program = "import sys; from workbench_app.cli import main; sys.argv[0] = 'workbench'; main()"
        words = ["app", "--port", str(port), "--workspace", str(place)]
        environment = {name: value for name, value in os.environ.items() if name != "WORKBENCH_APP_MODEL"}
        environment["WORKBENCH_CACHE"] = str(bench.folder / "no-cache")
        with bench.page() as tab:
            began = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-c", program, *words], env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                _until_healthy(f"http://127.0.0.1:{port}", bench.config.seconds)
                bench.note("server start to health", time.monotonic() - began)
                tab.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
                wait(tab, "says('See a prediction') && says('What is expected next')")
                bench.note("command to first readable page, no model", time.monotonic() - began)
            finally:
                process.terminate()
                process.wait(timeout=20)


def _until_healthy(url: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.03)


def visits(bench: Bench) -> None:
    """Visitors with empty caches, and one who loads the page again."""
    for _ in range(min(3, bench.config.repeats)):
        shown = [
            ("first visit, cold: title", bench.url("/"), "heading() !== ''"),
            ("first visit, cold: tokens", bench.prompt_url(), "tokens().length > 5"),
        ]
        if bench.testable:
            address = bench.url(f"/circuits?ci={quote(bench.testable)}&ci_tab=Validate")
            shown.append(("first visit, cold: first plotly chart", address, "inside('.js-plotly-plot .main-svg')"))
        for name, address, until in shown:
            with bench.page() as tab:
                bench.note(name, visit(tab, lambda tab=tab, to=address: tab.goto(to, wait_until="commit"), until))
    with bench.page() as tab:
        tab.goto(bench.prompt_url())
        for _ in range(bench.config.repeats):
            wait(tab, "tokens().length > 5 && idle()")
            spent = visit(tab, lambda: tab.reload(wait_until="commit"), "tokens().length > 5")
            bench.note("reload, warm", spent)


def pages(bench: Bench) -> None:
    """Round and round through the navigation; the first round warms every page up and does not count."""
    spent: dict[str, list[float]] = {}
    with bench.page() as tab:
        tab.goto(bench.prompt_url())
        tokens_of(tab)
        links = tab.get_by_test_id("stSidebarNavLink")
        names = [links.nth(i).inner_text().split("\n")[-1] for i in range(links.count())]
        for turn in range(1 + min(4, bench.config.repeats)):
            for i, name in enumerate(names):
                wait(tab, "idle()")
                tab.wait_for_timeout(200)
                wanted = text("workbench" if name == "Home" else name)
                took = seconds(tab, links.nth(i).click, f"heading() === {wanted} && idle()")
                if turn:
                    spent.setdefault(name, []).append(took)
                    bench.note("page switch, warm", took)
    medians = {name: float(np.median(values)) for name, values in spent.items()}
    for value in spent[max(medians, key=lambda name: medians[name])]:
        bench.note("page switch, warm: slowest page", value)
    told = ", ".join(f"{name} {value:.2f}" for name, value in sorted(medians.items(), key=lambda item: -item[1]))
    bench.notes.append(f"page switch by page, s: {told}")


def prompt(bench: Bench) -> None:
    """Ask for new and for known prompts, click tokens, hover."""
    with bench.page() as tab:
        tab.goto(bench.prompt_url())
        tokens = tokens_of(tab)
        for turn in range(bench.config.repeats):
            predicted = "says(`After position ${tokens().length - 1} `)"
            spent = _ask(tab, sentence(turn), f"{_token_with(str(turn))} && {predicted}")
            bench.note("prompt Enter to tokens and prediction, 64 new tokens", spent)
            bench.note("prompt Enter to tokens, seen before", _ask(tab, PROMPT, _token_with("Mary")))
        for turn in range(bench.config.repeats):
            tab.wait_for_timeout(800)
            bench.received.clear()
            told = f"says({text(f'After position {3 + turn} ')})"
            bench.note("token click to page", seconds(tab, tokens.nth(3 + turn).click, told))
            tab.wait_for_timeout(500)
            bench.note("received per token click", sum(bench.received) / 1000)
        tab.wait_for_timeout(1000)
        bench.sent.clear()
        for turn in range(bench.config.repeats):
            spent = tokens.nth(5 + turn).evaluate(
                "node => { const began = performance.now(); node.dispatchEvent(new MouseEvent('mousemove', "
                "{bubbles: true, clientX: 300, clientY: 300})); return performance.now() - began; }"
            )
            bench.note("hover: tooltip", spent)
            tokens.nth(4 + turn).hover()
            tab.wait_for_timeout(150)
        bench.note("hover: messages to the server", float(len(bench.sent)))


def _token_with(mark: str) -> str:
    return f"tokens().some((t) => t.textContent.includes({text(mark)}))"


def _ask(tab: Any, words: str, until: str) -> float:
    """Run another prompt; the seconds from Enter on."""
    tab.locator("textarea").fill(words)
    tab.wait_for_timeout(700)
    return seconds(tab, lambda: tab.keyboard.press("Control+Enter"), until)


def lens(bench: Bench) -> None:
    """The logit lens of new prompts, its tab opened again, and clicks on its cells."""
    with bench.page() as tab:
        opened = tab.get_by_role("tab", name="Logit lens")
        for turn in range(min(3, bench.config.repeats)):
            tab.goto(bench.prompt_url(sentence(10 + turn)))
            wait(tab, "tokens().length > 5 && idle()")
            spent = seconds(tab, opened.click, "inside('.scroll canvas')")
            bench.note("logit lens of 64 tokens, every layer, first time", spent)
        canvas = tab.locator(".scroll canvas")
        for turn in range(bench.config.repeats):
            tab.get_by_role("tab", name="Next token").click()
            canvas.wait_for(state="detached")
            tab.wait_for_timeout(500)
            bench.note("logit lens tab, computed before", seconds(tab, opened.click, "inside('.scroll canvas')"))
            tab.wait_for_timeout(700)
            place: Any = {"x": 40 + 62 * (4 + turn) + 20, "y": 22 + 21 * (2 + turn) + 10}
            told = f"says({text(f', position {4 + turn}')})"
            bench.note("heat-cell click to page", seconds(tab, lambda at=place: canvas.click(position=at), told))


def attention(bench: Bench) -> None:
    """The attention maps of 64 tokens, drawn anew each time the tab opens, and clicks on them."""
    with bench.page() as tab:
        tab.goto(bench.prompt_url(sentence(20)))
        tokens_of(tab)
        grid = tab.get_by_role("img", name="Attention patterns of")
        for turn in range(bench.config.repeats):
            tab.get_by_role("tab", name="Attention").click()
            grid.wait_for()
            tab.wait_for_timeout(1200)
            bench.note("attention maps: draw", float(grid.get_attribute("data-first") or "nan"))
            step = float(grid.get_attribute("data-step") or 30)
            place: Any = {"x": 34 + step * (turn + 1) + 8, "y": 20 + step + 8}
            told = f"says({text(f'layer {turn + 1}, head 1:')})"
            bench.note("attention maps: click", seconds(tab, lambda at=place: grid.click(position=at), told))
            if turn == 0:
                bench.notes.append(f"{grid.get_attribute('aria-label')}, 64 tokens")
            tab.wait_for_timeout(400)
            tab.get_by_role("tab", name="Next token").click()
            grid.wait_for(state="detached")


def graph(bench: Bench) -> None:
    """Graphs of each size with nothing hidden, drawn anew, and clicks on nodes of the largest."""
    for size in bench.config.nodes:
        with bench.page() as tab:
            tab.goto(bench.url(f"/circuits?ci=bench-{size}"))
            nodes = tab.locator("g.node.feature")
            nodes.first.wait_for()
            for _ in range(5):
                more = tab.locator("button.chip", has_text="of the influence").or_(tab.locator("button.chip.more"))
                if more.count():
                    more.first.click()
                tab.wait_for_timeout(300)
            box = tab.locator(".box[role=application]")
            for _ in range(bench.config.repeats):
                tab.locator("input.errors").click()
                tab.wait_for_timeout(400)
                bench.note(f"graph draw, {size} nodes", float(box.get_attribute("data-ms") or "nan"))
            chips = tab.locator(".chips .chip")
            bench.notes.append(f"graph of {size}: {chips.first.inner_text()}")
            if size == max(bench.config.nodes):
                _click_nodes(bench, tab, nodes)


def _click_nodes(bench: Bench, tab: Any, nodes: Any) -> None:
    """From a click until the panel beside the graph tells of that node."""
    for turn in range(bench.config.repeats):
        tab.wait_for_timeout(900)
        bench.received.clear()
        until = "location.href !== href && location.search.includes('ci_sel') && idle()"
        node = nodes.nth(7 * turn + 3)
        spent = seconds(tab, lambda node=node: node.dispatch_event("click"), until)
        bench.note("graph node click", spent)
        tab.wait_for_timeout(700)
        bench.note("received per node click", sum(bench.received) / 1000)


def long(bench: Bench) -> None:
    """Clicks in a prompt of 1,024 tokens, each with a tooltip of five alternatives."""
    words = " ".join(f"the {i % 10}" for i in range((bench.config.tokens - 1) // 3))
    with bench.page() as tab:
        tab.set_default_timeout(90_000)
        tab.goto(bench.prompt_url())
        tokens_of(tab)
        tab.locator("textarea").fill(words)
        tab.wait_for_timeout(900)
        tab.keyboard.press("Control+Enter")
        wait(tab, f"tokens().length > {len(words.split())} && idle()")
        tokens = tab.locator(".flow .token")
        bench.notes.append(f"long prompt: {tokens.count()} tokens")
        for turn in range(bench.config.repeats):
            tab.wait_for_timeout(900)
            told = f"says({text(f'After position {200 + turn} ')})"
            bench.note("1,024 tokens: token click", seconds(tab, tokens.nth(200 + turn).click, told))


def cancel(bench: Bench) -> None:
    """A job of the model that is cancelled while it runs, until its button is gone."""
    if not bench.testable:
        bench.notes.append("cancel: no graph of this model with its dictionaries; name a workspace that has one")
        return
    for turn in range(min(3, bench.config.repeats)):
        with bench.page() as tab:
            tab.goto(bench.url(f"/circuits?ci={quote(bench.testable)}&ci_tab=Validate"))
            main = tab.get_by_test_id("stMain")
            seeds = main.get_by_label("Random groups")
            seeds.fill(str(40 + turn))
            seeds.press("Enter")
            wait(tab, "idle()")
            tab.wait_for_timeout(800)
            main.get_by_role("button", name="Run the tests").click()
            button = main.get_by_role("button", name="Cancel").first
            button.wait_for()
            tab.wait_for_timeout(3000)
            gone = "![...main().querySelectorAll('button')].some((b) => b.textContent.includes('Cancel'))"
            bench.note("job cancelled", seconds(tab, button.click, gone))


def sessions(bench: Bench) -> None:
    """What a second visitor costs, and that neither sees what the other looks at."""
    with bench.page() as one:
        one.goto(bench.prompt_url(sentence(30), "&t=7"))
        tokens_of(one)
        one.goto(bench.url(f"/circuits?ci=bench-{max(bench.config.nodes)}"))
        one.locator("g.node.feature").first.wait_for()
        one.goto(bench.prompt_url(sentence(30), "&t=7"))
        mine = tokens_of(one)
        one.wait_for_timeout(1000)
        before = _resident(bench)
        with bench.page() as two:
            two.goto(bench.url(f"/prompt?m={quote(bench.config.model)}"))
            two.get_by_text("Type a prompt and press").wait_for()
            leaks = two.locator(".flow .token").count() + int("q=" in two.url) + int("t=" in two.url)
            two.goto(bench.prompt_url(sentence(31), "&t=9"))
            tokens_of(two)
            two.goto(bench.url(f"/circuits?ci=bench-{max(bench.config.nodes)}"))
            two.locator("g.node.feature").first.wait_for()
            two.wait_for_timeout(1000)
            bench.note("memory of one more session", _resident(bench) - before)
            mine.nth(5).click()
            one.get_by_text("After position 5 ").wait_for()
            leaks += int("q=" in two.url) + one.locator(".flow .token", has_text="31").count()
            bench.note("what one session shows of another", float(leaks))
            two.goto(bench.url("/settings"))
            held = two.get_by_test_id("stMain").get_by_role("button", name="Unload")
            held.first.wait_for()
            bench.note("models in memory, two sessions", float(held.count()))


def _resident(bench: Bench) -> float:
    """Megabytes that the server holds."""
    assert bench.server is not None
    lines = Path(f"/proc/{bench.server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000


MEASURE = {
    "start": start,
    "visits": visits,
    "pages": pages,
    "prompt": prompt,
    "lens": lens,
    "attention": attention,
    "graph": graph,
    "long": long,
    "cancel": cancel,
    "sessions": sessions,
}
