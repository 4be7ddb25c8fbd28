"""A mechanistic interpretability workbench: from a prompt to a tested claim about a circuit.

The hall: it hands out the nouns and the verbs of the rooms, each imported when first asked for.
"""

import lazy_loader

from workbench.core.registry import provide

provide("dictionary", "workbench.dictionaries.families")
provide("gate", "workbench.dictionaries.families")
provide("format", "workbench.exchange.layouts")
provide("text", "workbench.data.synthetic", "workbench.models.places")
provide("labelled text", "workbench.data.labelled_sets")
provide(
    "model",
    "workbench.models.planted",
    "workbench.models.planted_circuits",
    "workbench.models.planted_bigram",
    "workbench.models.tiny",
    "workbench.models.tiny_text",
    "workbench.models.relu",
    "workbench.models.automaton",
)
provide("task", "workbench.data.tasks", "workbench.models.planted_circuits")
provide("figure", "workbench.figures.renderers")
provide("html", "workbench.figures.renderers")
provide(
    "benchmark",
    "workbench.evaluation.speed.benchmarks",
    "workbench.evaluation.planted_bench",
    "workbench.evaluation.planted_circuits",
)
provide(
    "reproduction",
    "workbench.recipes.reproduce_codebooks",
    "workbench.recipes.reproduce_bigram",
    "workbench.recipes.core_neurons",
    "workbench.recipes.reproduce_lazy_neuron",
    "workbench.recipes.reproduce_in_context",
    "workbench.recipes.reproduce_programs",
    "workbench.recipes.reproduce_crate",
    "workbench.recipes.reproduce_sparsity",
)
provide("kernel benchmark", "workbench.evaluation.speed.operations")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
