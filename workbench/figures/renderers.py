"""Every renderer of this room, registered by importing the files that hold them."""

from . import (
    benchmark_figure,
    comparison_figure,
    graph_figure,
    intervention_figure,
    judgement_figure,
    notebook,
    prompt_figure,
    template,
    unit_figure,
    validation_figure,
)

__all__ = [
    "benchmark_figure",
    "comparison_figure",
    "graph_figure",
    "intervention_figure",
    "judgement_figure",
    "notebook",
    "prompt_figure",
    "template",
    "unit_figure",
    "validation_figure",
]
