"""A stopwatch that runs in the page: from the visitor's click or key to the frame in which the answer is painted.

Waiting from outside would add the pauses between two looks, up to half a second.
"""

import json
import time
from collections.abc import Callable
from typing import Any

HELPERS = """
const roots = () => [...document.querySelectorAll('*')].map((n) => n.shadowRoot).filter(Boolean);
const says = (text) => document.body.textContent.includes(text) || roots().some((r) => r.textContent.includes(text));
const tokens = () => roots().flatMap((r) => [...r.querySelectorAll('.flow .token')]);
const idle = () => !document.querySelector('[data-testid=stApp][data-test-script-state=running]');
const main = () => document.querySelector('[data-testid=stMain]');
const heading = () => document.querySelector('h1')?.textContent ?? '';
const inside = (css) => document.querySelector(css) ?? roots().map((r) => r.querySelector(css)).find(Boolean);
const href = location.href;
"""
CLOCK = """() => {
  %s
  const clock = (window.clock = { began: null, ended: null });
  const kinds = ['pointerdown', 'keydown', 'click'];
  const start = () => { clock.began ??= performance.now(); };
  for (const kind of kinds) document.addEventListener(kind, start, { capture: true, once: true });
  const look = () => {
    if (window.clock !== clock) return;
    if (clock.began !== null && (%s)) requestAnimationFrame(() => { clock.ended = performance.now(); });
    else setTimeout(look, 12);
  };
  look();
}"""


def text(value: str) -> str:
    """A string as JavaScript writes it."""
    return json.dumps(value)


def seconds(tab: Any, act: Callable[[], Any], until: str) -> float:
    """Act on the page; the seconds from the first click or key until the JavaScript expression holds."""
    tab.evaluate(CLOCK % (HELPERS, until))
    act()
    tab.wait_for_function("window.clock.ended !== null", polling=60)
    return float(tab.evaluate("window.clock.ended - window.clock.began")) / 1000


def wait(tab: Any, until: str) -> None:
    """Wait until the JavaScript expression holds, looked at in every frame."""
    tab.wait_for_function(f"() => {{ {HELPERS} return {until}; }}")


def visit(tab: Any, open_page: Callable[[], Any], until: str) -> float:
    """Open a page; the seconds until the expression holds there."""
    began = time.monotonic()
    open_page()
    wait(tab, until)
    return time.monotonic() - began
