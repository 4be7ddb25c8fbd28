"""Every renderer of this room, registered by importing the files that hold them."""

from . import (
    benchmark_figure,
    bigram_figure,
    circuit_tables_figure,
    codebook_figure,
    comparison_figure,
    discovery_figure,
    graph_figure,
    intervention_figure,
    judgement_figure,
    notebook,
    probe_figure,
    prompt_figure,
    run_figure,
    template,
    unit_figure,
    validation_figure,
)

__all__ = [
    "benchmark_figure",
    "bigram_figure",
    "circuit_tables_figure",
    "codebook_figure",
    "comparison_figure",
    "discovery_figure",
    "graph_figure",
    "intervention_figure",
    "judgement_figure",
    "notebook",
    "probe_figure",
    "prompt_figure",
    "run_figure",
    "template",
    "unit_figure",
    "validation_figure",
]
