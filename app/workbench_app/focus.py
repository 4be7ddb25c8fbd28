"""Focus: what the user looks at, kept in the session and in the page's address."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

INLINE = 300  # longer prompts travel by the id under which the workspace holds them
# field -> key of the address; keys with a prefix belong to one page
KEYS = {
    "model": "m",
    "other_model": "m2",
    "dictionary": "d",
    "position": "t",
    "graph": "ci",
    "node": "ci_sel",
    "layer": "pr_l",
    "head": "pr_h",
    "unit": "u",
    "view": "v",
    "mask": "bg_mask",
    "probe": "pb",
    "run": "ru",
    "report": "re",
}
PROMPTS = {"prompt": ("q", "p"), "other": ("q2", "p2")}
"""Texts: the key of one that travels in the address, the key of the id of a longer one."""
PAGES = {
    "home": ("model",),
    "prompt": ("model", "dictionary", "prompt", "bos", "position", "layer", "head", "other", "other_model"),
    "features": ("model", "dictionary", "unit", "prompt", "bos", "position", "view"),
    "codebooks": ("model", "dictionary", "unit", "prompt", "bos", "position", "view"),
    "circuits": ("model", "dictionary", "graph", "node", "view"),
    "bigrams": ("model", "mask"),
    "sparsity": ("model", "prompt", "bos", "position"),
    "probes": ("model", "dictionary", "probe"),
    "runs": ("run",),
    "reports": ("report",),
}
_NUMBERS = ("position", "layer", "head")


@dataclass(frozen=True)
class Focus:
    """One record of what is looked at; None means nothing in particular.

    Attributes:
        bos: put the BOS token in front; None follows the model's policy.
        graph: content hash (its start) or name of a graph; node: id of the selected node.
        other, other_model: what the prompt is compared with, "" while that is being typed; None: nothing.
        unit: a `core.Unit` as text.
        view: id of a saved layout; mask, probe, run, report: names in the workspace.
    """

    model: str | None = None
    dictionary: str | None = None
    prompt: str = ""
    bos: bool | None = None
    position: int | None = None
    layer: int | None = None
    head: int | None = None
    other: str | None = None
    other_model: str | None = None
    graph: str | None = None
    node: str | None = None
    unit: str | None = None
    view: str | None = None
    mask: str | None = None
    probe: str | None = None
    run: str | None = None
    report: str | None = None


def prompt_id(text: str) -> str:
    """The name of a long prompt: the first 12 hex digits of its sha256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def to_query(focus: Focus, page: str) -> dict[str, str]:
    """The part of a focus that a page's address carries."""
    query = {}
    for field in PAGES.get(page, ("model",)):
        value = getattr(focus, field)
        if field in PROMPTS:
            inline, by_id = PROMPTS[field]
            if value:
                query.update({inline: value} if len(value) <= INLINE else {by_id: prompt_id(value)})
        elif field == "bos":
            if value is not None:
                query["pr_bos"] = str(int(value))
        elif value is not None:
            query[KEYS[field]] = str(value)
    return query


def from_query(query: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The changes that an address asks for, and a sentence for every part that cannot be used.

    A prompt named by id comes back as `prompt_id` or `other_id`; the caller knows the workspace.
    """
    changes: dict[str, Any] = {}
    problems = []
    for field, key in KEYS.items():
        if key not in query:
            continue
        if field not in _NUMBERS:
            changes[field] = query[key]
        elif query[key].isdigit():
            changes[field] = int(query[key])
        else:
            problems.append(f"The address asks for {field} {query[key]!r}, which is no whole number; it is ignored.")
    for field, (inline, by_id) in PROMPTS.items():
        if inline in query:
            changes[field] = query[inline]
        if by_id in query:
            changes[f"{field}_id"] = query[by_id]
    if query.get("pr_bos") in ("0", "1"):
        changes["bos"] = query["pr_bos"] == "1"
    return changes, problems


def focus() -> Focus:
    """The session's focus."""
    return st.session_state.setdefault("focus", Focus())


def change_focus(**changes: Any) -> None:
    """Change the focus only. For use before `st.rerun()`, which would drop the message with the new address."""
    st.session_state["focus"] = replace(focus(), **changes)


def set_focus(**changes: Any) -> None:
    """Change the focus and the address with it."""
    change_focus(**changes)
    write_address(st.session_state.get("page", "home"))


def write_address(page: str) -> None:
    """Make the address say what the focus says, leaving keys that widgets own alone."""
    wanted = to_query(focus(), page)
    ours = {*KEYS.values(), *(key for keys in PROMPTS.values() for key in keys), "pr_bos"}
    for key in ours & set(st.query_params):
        if key not in wanted:
            del st.query_params[key]
    for key, value in wanted.items():
        if st.query_params.get(key) != value:
            st.query_params[key] = value
