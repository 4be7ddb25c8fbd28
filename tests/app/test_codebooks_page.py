"""The Codebooks page by AppTest: empty, without a scan, loaded, wrong, by link; every tab."""

from pathlib import Path

import pytest

from workbench.core import Manifest, Silent, Site, Unit
from workbench.workspace import Workspace
from workbench_app import state

from .test_pages import open_page, text_of
from .units import MODEL, fill_units

SITES = ("attn_z.0", "mlp_out.1")


@pytest.fixture(autouse=True)
def loaded():
    state.shelf().load(MODEL, Silent())
    yield MODEL
    state.shelf().unload(MODEL)
    state.jobs().clear()


def fill_codes(folder: Path, scanned: bool = True) -> str:
    """Untrained codebooks at two sites of the planted model, and a scan; gives the address of a code in use."""
    from workbench.data import PackConfig, open_text, pack
    from workbench.dictionaries import CodebookConfig
    from workbench.features import ScanConfig, scan, unit_of
    from workbench.models import load_model
    from workbench.recipes import new_codebooks, save_codebooks, start_codes
    from workbench.recipes.codebooks_config import CodebooksConfig

    model = load_model(MODEL)
    text = pack(open_text("synthetic-places:40"), model.tokenizer, PackConfig(sequence_length=24), model.policy)
    books = new_codebooks(model, SITES, CodebookConfig(codes=12, k=2, initial="rows"), "books")
    start_codes(model, books, text, CodebooksConfig(start_sequences=16), Silent())
    save_codebooks(books, folder / "dictionaries" / "books", Manifest(kind="dictionary set", model=model.ref))
    if not scanned:
        return ""
    from workbench.recipes import bench_of

    bench = bench_of(Workspace(folder), "books", model)
    found = scan(model, bench.dictionaries, text, folder / "stores" / "books-scan", ScanConfig(sequences=24))
    return str(unit_of(bench.dictionaries, SITES[1], int(found.counts(SITES[1]).argmax())))


@pytest.fixture
def filled():
    return fill_codes(Workspace().path)


def test_without_codebooks_the_page_says_how_to_get_some():
    text = text_of(open_page("codebooks", m=MODEL))
    assert "There are no codebooks for this model" in text
    assert "workbench codebook train" in text


def test_other_dictionaries_are_told_from_codebooks(filled):
    fill_units(Workspace().path, scanned=False)
    at = open_page("codebooks", m=MODEL, d="mine")
    assert "mine holds no codebooks" in text_of(at)
    next(button for button in at.button if button.label == "Open books").click().run()
    assert "codes are used" in text_of(at)


def test_without_a_scan_it_offers_one_and_makes_it():
    fill_codes(Workspace().path, scanned=False)
    at = open_page("codebooks", m=MODEL, d="books")
    assert "workbench features scan books" in text_of(at)
    at.number_input(key="cb_scan_count").set_value(8).run()
    at.text_input(key="cb_scan_text").set_value("synthetic-places:60").run()
    next(button for button in at.button if button.label == "Scan now").click().run()
    for job in state.jobs().jobs():
        job.result(timeout=60)
    at.run().run()
    assert not at.exception
    assert "codes are used" in text_of(at)


def test_the_table_is_that_of_the_chosen_codebook(filled):
    at = open_page("codebooks", m=MODEL, d="books")
    assert not at.error
    at.selectbox(key="cb_site").set_value(SITES[1]).run()
    every = at.dataframe[0].value
    assert every["count"].is_monotonic_decreasing
    at.selectbox(key="cb_site").set_value(SITES[0]).run()
    at.selectbox(key="cb_book").set_value("1").run()
    assert set(at.dataframe[0].value["group"]) == {1}
    assert "codebook 1" in text_of(at)


@pytest.mark.parametrize("tab", ["Contexts", "Examples", "Expression", "Relatives", "Steer"])
def test_a_link_opens_a_code_at_every_tab(filled, tab):
    at = open_page("codebooks", m=MODEL, d="books", u=filled, cb_tab=tab, cb_pattern=r"from (\w+)")
    assert not at.error
    assert not at.warning
    code = Unit.parse(filled)
    assert f"Code {code.index} of codebook 0 at {code.site}" in text_of(at)
    if tab == "Examples":  # as after a click on one
        at.session_state["ft_opened"] = True
        at.session_state["peek"] = filled  # as after a click on a row of another tab
        at.run()
        pages = {link.proto.label: link.proto.page for link in at.get("page_link")}
        assert pages == {"Open it on the Prompt page": "prompt", "Open page": "codebooks"}


@pytest.mark.parametrize("view", ["Pairs", "Topics", "Training"])
def test_a_link_opens_every_view(filled, view):
    at = open_page("codebooks", m=MODEL, d="books", cb_view=view)
    assert not at.error
    if view == "Training":
        assert "without a record" in text_of(at)


def test_what_a_link_names_wrongly_is_told_and_the_page_stays(filled):
    wrong = Unit("code", "books", Site("mlp_out", 1), 999)
    at = open_page("codebooks", m=MODEL, d="books", u=str(wrong))
    assert "a code that is not here" in text_of(at)
    assert "codes are used" in text_of(at)
    at = open_page("codebooks", m=MODEL, d="books", u=filled, cb_tab="Expression", cb_pattern="(broken")
    assert "no regular expression" in text_of(at)
