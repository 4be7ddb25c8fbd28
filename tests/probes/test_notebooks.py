"""Every notebook runs from its first cell to its last, on planted or shipped models."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "probes" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PLACES = {"MODEL": "planted-places", "TEXT": "synthetic-places"}
QUICK = {
    "1_first_look_at_a_prompt": {
        "MODEL": "planted-places",
        "PROMPT": "the man from north korea saw a big dog and said the capital",
        "CORRUPTED": "the man from south timor saw a big dog and said the capital",
        "TARGET": "cap-north-korea",
        "FOIL": "cap-south-timor",
    },
    "2_train_and_judge_a_dictionary": PLACES
    | {
        "SITE": "resid_post.0",
        "LAYER": 0,
        "D_SAE": 48,
        "KS": (2, 4),
        "SEQUENCE_LENGTH": 24,
        "SEQUENCES": 512,
        "HELDOUT": 8,
    },
    "3_what_does_this_feature_mean": {},
    "4_find_and_test_a_circuit": {},
    "5_codebooks_on_the_automaton": {
        "SAMPLES": {"loss_sequences": 64, "code_sequences": 64, "pairs": 60, "bootstrap": 50},
    },
    "6_bigram_subnetwork": {"SEQUENCES": 24, "ROTATION_SEQUENCES": 8},
    "7_how_lazy_are_the_neurons": {
        "MODEL": "tiny-sentences", "TEXT": "synthetic-sentences", "TOKENS": 2000, "SEQUENCE_LENGTH": 24,
        "SHARES": "0.5", "DIAL_SEQUENCES": 8,
    },
    "8_a_probe_that_is_fooled": {
        "MODEL": "tiny-wikipedia", "DATA": "sentiment", "SITES": ("embed", "resid_post.0"), "TEXTS": 80,
    },
}  # fmt: skip


def read(path: Path, parameters: dict) -> nbformat.NotebookNode:
    """A notebook with other values behind its cell of parameters; every one of them must be there."""
    book = nbformat.read(path, as_version=4)
    place = next(i for i, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", []))
    defined = book.cells[place].source
    for name in parameters:
        assert name in defined, f"{path.name} has no parameter {name}"
    lines = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    book.cells.insert(place + 1, nbformat.v4.new_code_cell(lines))
    return book


REAL = {"6_bigram_subnetwork"}  # those that read the fetched text
SLOW = {"3_what_does_this_feature_mean", "5_codebooks_on_the_automaton"}


def marks(stem: str) -> list[pytest.MarkDecorator]:
    return [mark for mark, stems in ((pytest.mark.real, REAL), (pytest.mark.slow, SLOW)) if stem in stems]


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=marks(path.stem), id=path.stem) for path in NOTEBOOKS],
)
def test_a_notebook_runs(path, tmp_path, monkeypatch, request):
    if path.stem in REAL:
        request.getfixturevalue("wikipedia")
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "workspace"))
    book = read(path, QUICK[path.stem])
    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    shown = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert any("text/html" in output.get("data", {}) for output in shown)
    for output in shown:
        assert "<script" not in output.get("data", {}).get("text/html", "")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_its_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs"), f"clear the outputs of {path.name}"
        assert cell.get("execution_count") is None
