"""A vocabulary that is hostile, on every page that shows tokens and in every file that leaves the app."""

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.circuits import Target, trace
from workbench.core import CircuitGraph, Unit
from workbench.features import FeatureScan, feature_card, unit_of
from workbench.figures import card_page
from workbench.report import FORMATS
from workbench.workspace import Workspace
from workbench_app import benches, draft, state
from workbench_app.panels import take

from . import hostile
from .hostile import LIVE, LONG, MARKUP, NAME, PROMPT, SHORT, WORDS, check_inert, spoilt, without_code
from .test_pages import open_page

# page -> tabs; the first tab of each page is looked at by the fast tests
PROMPT_TABS = ("Next token", "Logit lens", "Attention", "Residual", "Features", "Patch")
UNIT_TABS = ("What it writes", "Where it fires", "Relatives", "Try a text", "Steer")
CODE_TABS = ("Contexts", "Examples", "Expression", "Relatives", "Steer")
CIRCUIT_TABS = ("Node", "Groups", "Validate", "Compare", "Take along")
SENT = 80_000  # bytes of a page's components and addresses, whatever the longest token is


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("hostile")
    return folder, hostile.fill(Workspace(folder))


@pytest.fixture(autouse=True)
def loaded(place, monkeypatch):
    """The workspace, and its model in memory."""
    monkeypatch.setenv("WORKBENCH_HOME", str(place[0]))
    state.shelf()._models[NAME] = place[1]
    yield
    state.shelf().unload(NAME)
    state.forget_passes()
    state.jobs().clear()


def busiest(name: str, member: str) -> tuple[Any, FeatureScan, Unit]:
    found = benches.bench(NAME, name)
    scan = benches.scan(found)
    assert scan is not None
    return found, scan, unit_of(found.dictionaries, member, int(scan.counts(member).argmax()))


@pytest.mark.parametrize("tab", PROMPT_TABS)
def test_its_prompts_are_inert_and_its_long_token_is_cut(tab):
    twin = {"pr_corrupted": SHORT.replace(WORDS["north"], spoilt("south"))} if tab == "Patch" else {}
    at = open_page("prompt", m=NAME, d="mine", q=SHORT if twin else PROMPT, t="5", pr_tab=tab, **twin)
    assert not at.error
    check_inert(at)
    sent = [(part.proto.ByteSize(), part) for kind in ("bidi_component", "page_link") for part in at.get(kind)]
    assert sum(size for size, _ in sent) < len(PROMPT) + SENT  # the box holds the prompt in full


@pytest.mark.parametrize("tab", UNIT_TABS)
def test_its_features_are_inert(tab):
    _, _, unit = busiest("mine", "mlp_in.1")
    state.database().set_label(unit, SHORT)
    at = open_page("features", m=NAME, d="mine", u=str(unit), ft_tab=tab, q=PROMPT)
    assert not at.error
    check_inert(at)


@pytest.mark.parametrize("mode", ["Browse", "Map", "Fires on this text", "Writes this token", "Words of labels"])
def test_searches_for_its_words_are_inert(mode):
    query = {"ft_q_text": SHORT, "ft_q_token": WORDS["dog"], "ft_q_label": "script"}
    at = open_page("features", m=NAME, d="mine", ft_mode=mode, **query)
    check_inert(at)


@pytest.mark.parametrize("tab", CODE_TABS)
def test_its_codes_are_inert(tab):
    _, _, unit = busiest("books", "mlp_out.1")
    at = open_page("codebooks", m=NAME, d="books", u=str(unit), cb_tab=tab, cb_pattern="(script)")
    assert not at.error
    check_inert(at)


@pytest.mark.parametrize("page", ["home", "bigrams", "sparsity", "probes", "runs", "jobs", "settings"])
def test_the_other_pages_are_inert(page):
    state.start_job(SHORT, SHORT, lambda progress: 1 / 0, command=SHORT)
    at = open_page(page, m=NAME, q=PROMPT)
    check_inert(at)


@pytest.mark.parametrize("tab", CIRCUIT_TABS)
def test_its_graphs_are_inert(tab):
    name, _ = kept_graph()
    at = open_page("circuits", ci=name, ci_tab=tab)
    assert not at.error
    check_inert(at)


def kept_graph() -> tuple[str, CircuitGraph]:
    path, name = Workspace().path_of("graphs", "mine"), "mine"
    if not path.is_dir():
        found, _, _ = busiest("mine", "mlp_in.1")
        trace(found.model, found.dictionaries, found.model.tokens(PROMPT), Target()).save(path)
    return name, state.graph(state.find_graph(name))


def test_what_leaves_the_app_is_inert():
    found, scan, unit = busiest("mine", "mlp_in.1")
    card = feature_card(found, scan, unit)
    name, graph = kept_graph()
    node = next(node.id for node in graph.nodes if node.kind == "feature")
    layout = {"pins": [node], "groups": [{"name": SHORT[:150], "members": [node]}]}
    names, _ = state.drawn(state.find_graph(name), None)
    pages = [card_page(card, SHORT), card._repr_html_(), take.picture(names)]
    for format, ending in (("circuit-tracer", "json"), ("graphml", "graphml")):
        file = take.exported(graph, name, layout, format, ending, whole=False).decode()
        assert len(file) < 20 * len(LONG)
        if ending == "json":
            assert json.loads(file)["metadata"]["prompt_tokens"] == list(graph.tokens)
        else:
            pages.append(file)
    draft.add(SHORT, address="", python=repr(PROMPT), result=card)
    draft.add("graph", address="", python="", graph=name)
    draft.write("text", SHORT, SHORT)
    made = draft.report(draft.blocks(), {**draft.words(), "title": SHORT})
    for format in ("html", "interactive", "markdown"):
        text = FORMATS[format][1](made).decode()
        pages.append(text)
        if format == "markdown":
            assert not MARKUP.search(without_code(text))
            pages[-1] = without_code(text)
    assert [text[match.start() - 100 :][:200] for text in pages for match in LIVE.finditer(text)] == []
    assert json.loads(FORMATS["json"][1](made))
