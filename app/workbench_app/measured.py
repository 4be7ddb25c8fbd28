"""Results that the workspace holds, by kind: what a page shows of measurements made before, here or by command."""

from pathlib import Path

import streamlit as st

from workbench.core import ArtifactError, Result

from . import state

MOST = 60  # newest results that are looked through


@st.cache_resource(max_entries=2 * MOST, show_spinner=False)
def _opened(path: str, content_hash: str) -> Result | None:
    try:
        return Result.load(Path(path))
    except (ArtifactError, OSError, ValueError, TypeError, KeyError):
        return None  # one damaged result is no reason to hide the others; the list of artifacts names it


def results(kind: str, model: str) -> dict[str, Result]:
    """The newest results of a kind that were measured on a model, by name, the newest first."""
    found = {}
    for entry in state.workspace().list("results")[:MOST]:
        opened = _opened(str(entry.path), entry.manifest.content_hash) if entry.manifest else None
        if opened is not None and opened.kind == kind and opened.params.get("model") == model:
            found[entry.name] = opened
    return found


def chosen(found: dict[str, Result], label: str, key: str) -> str:
    """The result to show: a choice among several, the newest at first."""
    return st.selectbox(label, list(found), key=key, width=360)
