"""`planted-places`: a two-layer GPT-2 whose weights are set by hand, so that its circuit is known.

Text such as `the man from north korea saw a big dog and said the capital` is answered with one made-up
capital. A place is named by two words, so that naming it takes an AND that no linear map can do:

1. layer 0, a previous-token head copies the first word to the second word's position;
2. layer 0, one MLP neuron per pair (first AND second word) writes the place (animals likewise, as distractors);
3. layer 1, the asking word's head finds the place's position and copies the place to the asking word;
4. layer 1, one MLP neuron per place and question (place AND asked) writes the answer.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.core import child

from . import places
from .tokenize import WordTokenizer
from .zoo import Built, register_builtin

N_CTX = 24
_D_MODEL = 256
_D_HEAD = 32
_SHARPNESS = 14.0


@dataclass(frozen=True)
class PlantedNode:
    """One unit of the known circuit.

    `word` is the prompt's word at whose position the unit acts; `direction` [d_model] is what it writes.
    """

    kind: str
    layer: int
    word: str
    direction: Tensor


@dataclass(frozen=True)
class PlantedModel:
    """The model (a GPT2LMHeadModel), its vocabulary, and its circuit."""

    model: Any
    vocabulary: tuple[str, ...]
    basis: dict[str, Tensor]

    def circuit(self, first: str, second: str, question: str) -> tuple[PlantedNode, ...]:
        """The nodes that answer a question about a place: two words, the question, two neurons."""
        place, asked = f"place {first} {second}", places.answer(first, second, question)
        return (
            PlantedNode("embed", -1, first, self.basis[f"word {first}"]),
            PlantedNode("embed", -1, second, self.basis[f"word {second}"]),
            PlantedNode("embed", -1, question, self.basis[f"word {question}"]),
            PlantedNode("feature", 0, second, self.basis[place]),
            PlantedNode("feature", 1, question, self.basis[f"say {asked}"]),
        )


def build_places(seed: int = 0) -> PlantedModel:
    """Set the weights. The seed turns the basis of the residual stream, so that no feature lies on an axis."""
    from transformers import GPT2Config, GPT2LMHeadModel

    words = places.vocabulary()
    basis = _basis(words, seed)
    config = GPT2Config(
        vocab_size=len(words), n_positions=N_CTX, n_embd=_D_MODEL, n_layer=2, n_head=2, n_inner=len(places.PLACES) * 2,
        activation_function="relu", tie_word_embeddings=False, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.zero_()
    model.transformer.wte.weight.copy_(torch.stack([basis[f"word {word}"] for word in words]))
    model.transformer.wpe.weight.copy_(torch.stack([basis[f"position {i}"] for i in range(N_CTX)]))
    _plant_norms(model)
    _plant_previous_token_head(model, basis)
    _plant_pairs(model, basis)
    _plant_asking_head(model, basis)
    _plant_answers(model, basis)
    readout = [basis[f"say {word}"] if f"say {word}" in basis else torch.zeros(_D_MODEL) for word in words]
    model.lm_head.weight.copy_(8.0 * torch.stack(readout))
    return PlantedModel(model, words, basis)


def _basis(words: tuple[str, ...], seed: int) -> dict[str, Tensor]:
    """Orthonormal directions, all orthogonal to the vector of ones, so that LayerNorm's centring does nothing."""
    names = [f"word {word}" for word in words] + [f"position {i}" for i in range(N_CTX)]
    names += [f"before {word}" for word in (*places.FIRST, *places.SIZES)]
    names += [f"place {' '.join(pair)}" for pair in places.PLACES] + [
        f"being {' '.join(pair)}" for pair in places.BEINGS
    ]
    names += [f"asked {' '.join(pair)}" for pair in places.PLACES]
    names += [f"say {places.answer(*pair, question)}" for pair in places.PLACES for question in places.QUESTIONS]
    noise = torch.randn(_D_MODEL, len(names) + 1, generator=torch.Generator().manual_seed(child(seed, "basis")))
    noise[:, 0] = 1.0
    directions = torch.linalg.qr(noise.double()).Q[:, 1:].float()
    return dict(zip(names, directions.T.contiguous(), strict=True))


def _blocks(model: Any) -> list[Any]:
    return list(model.transformer.h)


def _plant_norms(model: Any) -> None:
    """Norm weights that give back roughly the stream itself where three unit vectors add up."""
    gain = (3.0 / _D_MODEL) ** 0.5
    for block in _blocks(model):
        block.ln_1.weight.fill_(gain)
        block.ln_2.weight.fill_(gain)
    model.transformer.ln_f.weight.fill_(gain)


def _set_head(block: Any, head: int, query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
    """Fill one head: q, k, v maps [d_model, d_head] and the output map [d_head, d_model]."""
    for part, weight in enumerate((query, key, value)):
        columns = slice(part * _D_MODEL + head * 128, part * _D_MODEL + head * 128 + weight.shape[1])
        block.attn.c_attn.weight[:, columns] = weight
    block.attn.c_proj.weight[head * 128 : head * 128 + out.shape[0]] = out


def _plant_previous_token_head(model: Any, basis: dict[str, Tensor]) -> None:
    scale = (_SHARPNESS * 128**0.5) ** 0.5
    here = torch.stack([basis[f"position {i}"] for i in range(N_CTX)], 1)
    query = torch.cat([here[:, 1:], here[:, :1] * 0], 1) * scale
    read = torch.stack([basis[f"word {word}"] for word in (*places.FIRST, *places.SIZES)], 1)
    write = torch.stack([basis[f"before {word}"] for word in (*places.FIRST, *places.SIZES)])
    _set_head(_blocks(model)[0], 0, query, here * scale, read, write)


def _plant_pairs(model: Any, basis: dict[str, Tensor]) -> None:
    """One neuron per pair: fires when the word and the word before it are the pair's."""
    mlp = _blocks(model)[0].mlp
    for i, (kind, pair) in enumerate(
        [("place", pair) for pair in places.PLACES] + [("being", pair) for pair in places.BEINGS]
    ):
        mlp.c_fc.weight[:, i] = basis[f"before {pair[0]}"] + basis[f"word {pair[1]}"]
        mlp.c_fc.bias[i] = -1.4
        mlp.c_proj.weight[i] = 2.0 * basis[f"{kind} {' '.join(pair)}"]


def _plant_asking_head(model: Any, basis: dict[str, Tensor]) -> None:
    """A question looks for a place; every other word rests on the first position."""
    scale = (_SHARPNESS * 128**0.5) ** 0.5
    asking = torch.stack([basis[f"word {question}"] for question in places.QUESTIONS]).sum(0)
    sought = torch.stack([basis[f"place {' '.join(pair)}"] for pair in places.PLACES])
    resting = torch.stack([basis[f"word {w}"] for w in places.vocabulary() if w not in places.QUESTIONS]).sum(0)
    query = torch.stack([asking, resting], 1) * scale
    key = torch.stack([sought.sum(0), basis["position 0"]], 1) * scale
    write = torch.stack([basis[f"asked {' '.join(pair)}"] for pair in places.PLACES])
    _set_head(_blocks(model)[1], 0, query, key, sought.T, write)


def _plant_answers(model: Any, basis: dict[str, Tensor]) -> None:
    """One neuron per place and question: fires when that place was fetched by that question."""
    mlp = _blocks(model)[1].mlp
    for i, (pair, question) in enumerate((pair, question) for pair in places.PLACES for question in places.QUESTIONS):
        mlp.c_fc.weight[:, i] = basis[f"asked {' '.join(pair)}"] + basis[f"word {question}"]
        mlp.c_fc.bias[i] = -1.4
        mlp.c_proj.weight[i] = 2.0 * basis[f"say {places.answer(*pair, question)}"]


@register_builtin("planted-places", family="gpt2", parameters=0.6, note="weights set by hand; its circuit is known")
def _planted_places() -> Built:
    return Built(build_places().model, WordTokenizer(places.vocabulary(), bos="<bos>"))
