"""Input-invariant circuits: what the weights alone connect (Dunefsky, Chlenski and Nanda 2024, section 4.1).

A contribution is a product of two factors: an input-invariant one (a number of the weights: decoder row, head,
norm gains, encoder row) and an input-dependent one (activation, attention weight, one over the norms' scales).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Codes, ConfigError, Result, Site
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel

Head = tuple[int, int]
SAME_TOKEN = "same token"
NOTES = (
    "weights alone: a contribution on a prompt is this number x activation x attention weights / norm scales",
    "weights say what could be read, not what is: unnatural features and tokens that never meet count too",
)


@dataclass(frozen=True)
class Reading:
    """A direction of the residual stream that some unit reads, seen from before a layer.

    vector: dot it with what is written there; gains of the norms are in it, their scales are not. Layers below
    `below` write before it is read. heads: those passed on the way, nearest to the unit first.
    """

    layer: int
    index: int
    vector: Float[Tensor, " d"]
    below: int
    heads: tuple[Head, ...] = ()


def reading(model: HookedModel, dictionaries: DictionarySet, layer: int, index: int) -> Reading:
    """What a transcoder feature reads: its encoder row behind the MLP norm's gain.

    Raises:
        ConfigError: no such feature, one that is not read linearly, or a model with norms behind its blocks.
    """
    if model.shape.sandwich:
        raise ConfigError("weights alone do not connect features where outputs are normed", hint="use a graph")
    dictionary = dictionaries.by_layer(layer)
    if not 0 <= index < dictionary.width:
        raise ConfigError(f"no feature {index} in {dictionary.name!r}", found=f"it has {dictionary.width}")
    one = Codes(torch.tensor([[index]]), torch.ones(1, 1), dictionary.width)
    readers = dictionary.readers(one)
    if readers is None:
        raise ConfigError(f"units of the family {dictionary.family!r} are not read linearly", hint="use a transcoder")
    row = readers.rows[0].detach().to(model.dtype).cpu()
    return Reading(layer, index, _gain(model, f"blocks.{layer}.ln2.w", row), layer)


def through(model: HookedModel, told: Reading, head: Head) -> Reading:
    """The same unit read through one more head: the direction at the head's source, ahead of its attention layer.

    Raises:
        ConfigError: the head lies too late, or there is none.
    """
    layer, number = head
    last = told.below if not model.shape.parallel and not told.heads else told.below - 1
    if not 0 <= layer <= last or not 0 <= number < model.shape.n_heads:
        raise ConfigError(f"no head {layer}.{number} before what is read", found=f"layers 0 to {last}")
    params = model.params()
    group = number * model.shape.n_kv_heads // model.shape.n_heads
    value = params[f"blocks.{layer}.attn.W_V"][group].detach().cpu()
    output = params[f"blocks.{layer}.attn.W_O"][number].detach().cpu()
    vector = _gain(model, f"blocks.{layer}.ln1.w", value @ (output @ told.vector))
    return Reading(told.layer, told.index, vector, layer, (*told.heads, head))


def _gain(model: HookedModel, name: str, vector: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """A covector behind a norm becomes one before it, but for the norm's scale."""
    vector = vector * model.params()[name].detach().cpu()
    return vector - vector.mean() if model.shape.norm == "layer" else vector


def connections(dictionaries: DictionarySet, told: Reading) -> dict[int, Float[Tensor, " f"]]:
    """Layer -> what every feature written below contributes per unit of its activation: all of them at once."""
    found = {}
    for layer in [layer for layer in dictionaries.layers if layer < told.below]:
        dictionary = dictionaries.by_layer(layer)
        written = dictionary.writers(torch.arange(dictionary.width)).get(Site("mlp_out", layer))
        if written is not None:
            found[layer] = written.detach().to(told.vector).cpu() @ told.vector
    return found


def de_embedding(model: HookedModel, told: Reading) -> Float[Tensor, " v"]:
    """What each token's embedding contributes: which tokens the unit reads directly, or through its heads."""
    embedding = model.params()["embed.W_E"].detach().cpu()
    return embedding.to(told.vector) @ told.vector


def strongest_heads(model: HookedModel, dictionaries: DictionarySet, told: Reading, count: int = 5) -> list[Head]:
    """Heads by the largest invariant connection that runs through them."""
    last = told.below if not model.shape.parallel and not told.heads else told.below - 1
    scored = []
    for layer in range(max(last + 1, 0)):
        for number in range(model.shape.n_heads):
            found = connections(dictionaries, through(model, told, (layer, number)))
            size = max((float(part.abs().max()) for part in found.values()), default=0.0)
            scored.append((size, (layer, number)))
    return [head for _, head in sorted(scored, key=lambda item: (-item[0], item[1]))[:count]]


def invariant_circuit(
    model: HookedModel,
    dictionaries: DictionarySet,
    layer: int,
    index: int,
    heads: Sequence[Head] | None = None,
    count: int = 10,
) -> Result:
    """Which features and tokens a feature reads, by the weights alone (kind `invariant_circuit`).

    Tables: `features` (through, layer, index, weight) and `tokens` (through, token, weight); weight: contribution
    to the pre-activation per unit of activation (or embedding), before attention weights and norm scales.

    Args:
        heads: looked through one by one beside the direct path; none: those with the strongest connections.
    """
    told = reading(model, dictionaries, layer, index)
    heads = strongest_heads(model, dictionaries, told) if heads is None else list(heads)
    features: list[dict[str, Any]] = []
    tokens: list[dict[str, Any]] = []
    for path in (told, *(through(model, told, head) for head in heads)):
        name = " ".join(f"{head[0]}.{head[1]}" for head in path.heads) or SAME_TOKEN
        rows = [(float(part[i]), source, int(i)) for source, part in connections(dictionaries, path).items()
                for i in part.abs().topk(min(count, len(part))).indices]  # fmt: skip
        rows.sort(key=lambda row: -abs(row[0]))
        features += [{"through": name, "layer": s, "index": i, "weight": w} for w, s, i in rows[:count]]
        values, ids = de_embedding(model, path).topk(count)
        texts = [str(i) for i in ids.tolist()] if model.tokenizer is None else model.tokenizer.strings(ids.tolist())
        tokens += [{"through": name, "token": t, "weight": v} for t, v in zip(texts, values.tolist(), strict=True)]
    return Result(
        kind="invariant_circuit",
        scalars={"layer": float(layer), "index": float(index)},
        tables={"features": features, "tokens": tokens},
        params={"layer": layer, "index": index, "heads": [list(head) for head in heads], "count": count},
        inputs=_inputs(model, dictionaries),
        notes=NOTES,
    )


def invariant_connection(
    model: HookedModel, dictionaries: DictionarySet, source: tuple[int, int], target: tuple[int, int], count: int = 10
) -> Result:
    """What one feature hands another by the weights alone, directly and through every single head.

    Kind `invariant_connection`. Table `ways` (through, weight, larger, features): the strongest ways; `larger` is how
    many features of the source's layer have a larger |weight| that way, of `features`.

    Args:
        source, target: (layer, index); the source's layer comes first.

    Raises:
        ConfigError: see `reading`; or the source does not come before the target.
    """
    (low, index), (high, reader) = source, target
    if low >= high:
        raise ConfigError(f"layer {low} does not come before layer {high}", hint="name the earlier feature as source")
    width = dictionaries.by_layer(low).width
    if not 0 <= index < width:
        raise ConfigError(f"no feature {index} in layer {low}", found=f"there are {width}")
    told = reading(model, dictionaries, high, reader)
    ways = [told]
    last = high if not model.shape.parallel else high - 1
    for layer in range(low + 1, last + 1):
        ways += [through(model, told, (layer, head)) for head in range(model.shape.n_heads)]
    rows = []
    for way in ways:
        found = connections(dictionaries, way).get(low)
        if found is None:
            continue
        larger = int((found.abs() > found[index].abs()).sum())
        name = " ".join(f"{layer}.{head}" for layer, head in way.heads) or SAME_TOKEN
        rows.append({"through": name, "weight": float(found[index]), "larger": larger, "features": width})
    rows.sort(key=lambda row: -abs(row["weight"]))
    return Result(
        kind="invariant_connection",
        scalars={"ways": float(len(rows))},
        tables={"ways": rows[:count]},
        params={"source": list(source), "target": list(target), "count": count},
        inputs=_inputs(model, dictionaries),
        notes=NOTES,
    )


def _inputs(model: HookedModel, dictionaries: DictionarySet) -> dict[str, str]:
    hashed = dictionaries.manifest.content_hash if dictionaries.manifest else ""
    return {dictionaries.name: hashed, "model": model.ref.weight_hash}
