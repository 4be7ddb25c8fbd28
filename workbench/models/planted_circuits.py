"""Planted circuits: models whose circuit is known, among distractors as large as the circuit's own parts.

Every model runs one program (`planted_copying`, `planted_lookup`) for its answer, and copies of the same program on
other words whose results nobody reads. Prompts speak to all copies at once. A corrupted prompt has other words and
another order, and all other copies' words are drawn anew, so every component's output changes between the two.
With `echo` the distractors run on the circuit's own words: they see everything that the circuit sees, and only what
they cause tells them from it.
"""

import copy
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.core import ModelRef, PromptPair, child, register_task

from .hooked import HookedModel
from .planted_calibrate import match_norms
from .planted_compile import D_MODEL, N_HEADS, N_KV_HEADS, Basis, Placed, compile_gpt2, compile_llama, names_of
from .planted_program import BOS, Head, Match, Neuron, rest, words
from .planted_programs import PROGRAMS, Program, distractor_voices, find_program, planted_prompts, vocabulary_of
from .tokenize import WordTokenizer
from .weights import hash_tensors
from .wrap import wrap
from .zoo import Built, register_builtin


@dataclass(frozen=True)
class PlantedCircuit:
    """A model with its circuit.

    Attributes:
        model: a Hugging Face GPT2LMHeadModel or LlamaForCausalLM; tokenizer: one token per word.
        nodes, edges: the circuit, in the names of component graphs: `input`, `a0.h1`, `m1`, `logits`,
            `a0.h1->a1.h0<q>`, `m0->logits`; keys and values that heads share go by the group's first head.
        neurons: the MLP neurons that belong to the circuit, by name: (layer, index).
        basis: name of a direction -> [d_model].
    """

    name: str
    model: Any
    tokenizer: WordTokenizer
    nodes: frozenset[str]
    edges: frozenset[str]
    neurons: Mapping[str, tuple[int, int]]
    basis: Mapping[str, Any]
    seed: int = 0
    echo: bool = False

    def hooked(self, dtype: str = "float32") -> HookedModel:
        """A copy of the model, hooked."""
        import torch

        ref = ModelRef(
            id=self.name,
            weight_hash=hash_tensors(self.model.state_dict()),
            dtype=dtype,
            processing=("built-in",),
            tokenizer_hash=self.tokenizer.hash,
        )
        return wrap(copy.deepcopy(self.model).to(getattr(torch, dtype)), self.tokenizer, ref)

    def prompts(self, count: int, seed: int = 0) -> tuple[PromptPair, ...]:
        """Prompts with corrupted twins for its task."""
        return planted_prompts(self.name.removeprefix("planted-"), count, seed)

    def neurons_of(self, pair: PromptPair) -> frozenset[tuple[int, int]]:
        """(layer, index) of the neurons that the answer to a prompt runs through."""
        return frozenset(self.neurons[name] for name in pair.note.split(", ") if name)


def build_circuit(name: str, seed: int = 0, echo: bool = False) -> PlantedCircuit:
    """Set the weights of a planted model; the seed turns its directions and places its heads.

    Args:
        name: a key of PROGRAMS, with or without `planted-`.
        echo: distractors run on the circuit's own words.

    Raises:
        ConfigError: no such program.
    """
    program = find_program(name)
    vocabulary = vocabulary_of(program)
    placed, roles = _place(program, seed, echo)
    neurons = _neurons(program, echo)
    basis = Basis(names_of(placed, neurons, vocabulary), seed)
    build = compile_llama if program.family == "llama" else compile_gpt2
    model = build(placed, neurons, program.layers, vocabulary, basis)
    tokenizer = WordTokenizer(vocabulary, bos=BOS)
    named = [edge.format_map(roles) for edge in program.edges]
    nodes = frozenset(end.split("<")[0] for edge in named for end in edge.split("->"))
    edges = frozenset(_grouped(edge) if program.family == "llama" else edge for edge in named)
    short = name.removeprefix("planted-")
    prompts = [
        text for pair in planted_prompts(short, 32, child(seed, "calibrate")) for text in (pair.prompt, pair.corrupted)
    ]
    match_norms(model, [[0, *tokenizer.encode(text)] for text in prompts], nodes)
    own = {neuron.name for neuron in program.build(program.voice).neurons}
    places = {
        neuron.name: (layer, index)
        for layer in range(program.layers)
        for index, neuron in enumerate(found for found in neurons if found.layer == layer)
        if neuron.name in own
    }
    return PlantedCircuit(f"planted-{short}", model, tokenizer, nodes, edges, places, basis.directions, seed, echo)


def _grouped(edge: str) -> str:
    """Keys and values that heads share go by the first head of the group."""
    source, found = edge.split("->")[0], _SHARED.search(edge)
    if found is None:
        return edge
    shared = N_HEADS // N_KV_HEADS
    return f"{source}->{found[1]}{int(found[2]) // shared * shared}{found[3]}"


_SHARED = re.compile(r"->(a\d+\.h)(\d+)(<[kv]>)$")


def _place(program: Program, seed: int, echo: bool) -> tuple[list[Placed], dict[str, str]]:
    """Every head with its number, and the names of the circuit's own by role."""
    copies = [program.build(program.voice).heads] + [program.build(v).heads for v in distractor_voices(program, echo)]
    placed, roles = [], {}
    for layer in range(program.layers):
        slots = random.Random(child(seed, program.about, layer)).sample(range(N_HEADS), N_HEADS)
        here = [head for heads in copies for head in heads if head.layer == layer]
        here += _idle_heads(program, layer, echo)[: N_HEADS - len(here)]
        placed += [Placed(head, slot) for head, slot in zip(here, slots, strict=True)]
        roles |= {head.role: f"a{layer}.h{slot}" for head, slot in zip(here, slots, strict=True) if head in copies[0]}
    return placed, roles


def _idle_heads(program: Program, layer: int, echo: bool) -> list[Head]:
    """Distractors for layers where the program has no head: they fetch words to their marker, for nobody."""
    voices = distractor_voices(program, echo)
    heads = []
    for number, voice in enumerate((*voices, voices[0])):
        idle = tuple(f"{voice.tag}idle head {layer}.{number} {word}" for word in voice.words)
        moves = tuple(zip(words(voice.words), idle, strict=True))
        heads.append(
            Head("idle", layer, moves, (Match(words((voice.marker, *voice.relations)), words(voice.words)), rest()))
        )
    return heads


def _neurons(program: Program, echo: bool) -> list[Neuron]:
    """The neurons of every copy; layers without any get some that recognise words, for nobody."""
    own = program.build(program.voice).neurons
    neurons = list(own)
    used = {neuron.layer for neuron in own}
    for voice in distractor_voices(program, echo):
        neurons += [replace(neuron, name=f"{voice.tag}{neuron.name}") for neuron in program.build(voice).neurons]
        for layer in set(range(program.layers)) - used:
            names = ((word, f"{voice.tag}idle {layer} {word}") for word in voice.words)
            neurons += [Neuron(name, layer, (f"word {word}",), 0.5, ((name, 2.0),)) for word, name in names]
    return neurons


def _register(name: str, program: Program) -> None:
    def build() -> Built:
        circuit = build_circuit(name)
        return Built(circuit.model, circuit.tokenizer)

    def make(tokenizer: Any, count: int, seed: int) -> Sequence[PromptPair]:
        return planted_prompts(name, count, seed)

    known = f"planted-{name}"
    register_builtin(known, family=program.family, parameters=_millions(program), note=program.about)(build)
    register_task(known, f"of the model of that name: {program.about}", program.metric)(make)


def _millions(program: Program) -> float:
    """Parameters in its attention, which has most of them."""
    keys = 2 * (1 if program.family == "gpt2" else N_KV_HEADS / N_HEADS)
    return round(program.layers * D_MODEL**2 * (2 + keys) / 1e6, 1)


for _name, _each in PROGRAMS.items():
    _register(_name, _each)
