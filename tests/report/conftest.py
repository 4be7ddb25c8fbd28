import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "figures"))

import sample_study as study

from workbench.report import Licence, ReportConfig, Study, circuit_report

CONFIG = ReportConfig(
    author="A. Colleague",
    created="2026-01-02T03:04:05+00:00",
    command="workbench demo",
    python="from workbench import load_model\nmodel = load_model('smollm2-135m-instruct-q4')",
    licences=(Licence(of="model", name="SmolLM2-135M-Instruct", licence="Apache-2.0"),),
    notes="One seed.",
)
CONTROLS = {
    "affine only": {"replacement": 0.47, "completeness": 0.74},
    "shuffled decoder": {"replacement": 0.2, "completeness": 0.5},
    "untrained": {"replacement": 0.52, "completeness": 0.84},
}


def make(config=CONFIG, **changes):
    graph = changes.pop("graph", None) or study.graph()
    given = {
        "validation": study.validation(graph),
        "evaluation": study.evaluation(),
        "contexts": study.contexts(graph),
        "effects": study.labels(graph),
        "next_tokens": study.next_tokens(),
        "sum_check": study.sum_check(),
        "controls": CONTROLS,
        "others": [Study(graph, study.validation(graph, seed=4), "two women")],
    }
    return circuit_report(graph, **{**given, **changes}, config=config)


@pytest.fixture(scope="session")
def config():
    return CONFIG


@pytest.fixture(scope="session")
def report():
    return make()


@pytest.fixture(scope="session")
def make_report():
    return make
