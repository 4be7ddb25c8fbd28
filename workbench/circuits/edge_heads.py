"""Which attention heads carry an edge."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import CircuitGraph, ConfigError, Result
from workbench.dictionaries import DictionarySet
from workbench.models import FrozenAttention, HookedModel

from .analysis import Analysis, analyse
from .sums import target_of

NOTES = (
    "an edge is a sum over paths through attention heads, norms and the affine path beside units",
    "part: the paths on which this head is the one nearest to the target; parts and `no head` add up to the edge",
    "through: all paths that pass this head, nearest or not; a path through two heads counts at both",
)


def edge_heads(
    model: HookedModel,
    dictionaries: DictionarySet,
    graph: CircuitGraph,
    edges: Sequence[tuple[str, str]] = (),
    strongest: int = 10,
) -> Result:
    """What every head carries of some edges, given as node ids (kind `edge_heads`); none given: the strongest ones.

    Table `heads`: one row for each edge and head, `layer` and `head` -1 for the part that passes no head. Table
    `edges`: weight of each edge, and the sum of its parts.

    Raises:
        ConfigError: a node that the graph does not have, or a source that does not come before its target.
    """
    if not edges:
        order = graph.weight.abs().argsort(descending=True, stable=True)[:strongest].tolist()
        ids = [node.id for node in graph.nodes]
        edges = [(ids[int(graph.source[e])], ids[int(graph.target[e])]) for e in order]
    with torch.no_grad():
        analysis = analyse(model, dictionaries, torch.tensor(graph.token_ids), target_of(graph))
        number = {name: place for place, name in enumerate(analysis.ids())}
        heads, sums = [], []
        for source, target in edges:
            for name in (source, target):
                if name not in number:
                    raise ConfigError(f"no node {name!r} in this graph", hint="name nodes as kind:layer:index:position")
            part, through = carried(analysis, number[source], number[target])
            named = {"source": source, "target": target}
            heads.append({**named, "layer": -1, "head": -1, "part": float(part[-1, 0]), "through": float(part[-1, 0])})
            for layer, head in torch.nonzero(through[:-1]).tolist():
                shares = {"part": float(part[layer, head]), "through": float(through[layer, head])}
                heads.append({**named, "layer": layer, "head": head, **shares})
            sums.append({**named, "weight": float(part.sum()), "no head": float(part[-1, 0])})
    heads.sort(key=lambda row: (row["source"], row["target"], -abs(row["part"])))
    return Result(
        "edge_heads",
        tables={"heads": heads, "edges": sums},
        inputs={"graph": graph.manifest.content_hash},
        notes=NOTES,
    )


def carried(analysis: Analysis, source: int, target: int) -> tuple[Float[Tensor, "l1 h"], Float[Tensor, "l1 h"]]:
    """Part and through of every head [layers + 1, heads], by node numbers; the last row's first place passes no head.

    Raises:
        ConfigError: the source does not come before the target.
    """
    frozen, numbering = analysis.frozen, analysis.numbering
    layers, heads = frozen.n_layers, frozen.attention[0].n_heads
    v, top = _start(analysis, target)
    if source >= numbering.columns_below(top):
        raise ConfigError("an edge runs from a node to one that reads after it has written")
    writes = _writes(analysis, source)
    found = v.new_zeros(2 + 2 * heads * layers)
    # Columns: every path, paths that passed no head, then for each head met so far the paths on which it is the one
    # nearest to the target, and all paths through it.
    columns, places = torch.cat([v, v], 1), [0, 1]

    def read(layer: int) -> None:
        for position, vector in writes.get(layer, ()):
            if position < len(columns):
                found[places] += columns[position] @ vector

    if top < layers and not frozen.parallel:
        columns = _attended(frozen.attention[top], columns, columns)
        places += _places(top, heads)
    for layer in range(top - 1, -1, -1):
        read(layer)
        below = columns + analysis.sweep.beside(columns, layer)
        columns = _attended(frozen.attention[layer], columns if frozen.parallel else below, below)
        places += _places(layer, heads)
    read(-1)
    by_head = found[2:].view(layers, 2, heads)
    last = found.new_zeros(1, heads)
    last[0, 0] = found[1]
    return torch.cat([by_head[:, 0], last]), torch.cat([by_head[:, 1], last])


def _attended(
    attention: FrozenAttention, read: Float[Tensor, "t n d"], beside: Float[Tensor, "t n d"]
) -> Float[Tensor, "t m d"]:
    """One attention layer down: the columns so far, then its heads' parts, then what passes through each."""
    split = attention.pull_heads(read[:, :2]).permute(2, 1, 0, 3)
    pulled = attention.pull(read)
    pulled[:, 1] = 0
    return torch.cat([beside + pulled, split[1], split[0]], 1)


def _places(layer: int, heads: int) -> list[int]:
    first = 2 + 2 * heads * layer
    return list(range(first, first + 2 * heads))


def _start(analysis: Analysis, node: int) -> tuple[Float[Tensor, "t 1 d"], int]:
    """The covector of a target on the residual stream that it reads, and its layer."""
    if node >= analysis.numbering.n_sources:
        direction = analysis.metric.directions[node - analysis.numbering.n_sources]
        pulled = analysis.frozen.pull_final(direction[None], analysis.metric.position).transpose(0, 1)
        return pulled, analysis.frozen.n_layers
    if node not in analysis.unit_nodes:
        raise ConfigError("an edge ends in a feature or a target", hint="tokens and errors have no inputs")
    units, number = analysis.unit(node)
    v = torch.zeros_like(analysis.frozen.embed)[:, None]
    v[units.position[number], 0] = units.readers[number]
    return analysis.frozen.mlp_norm[units.layer].pull(v), units.layer


def _writes(analysis: Analysis, node: int) -> dict[int, list[tuple[int, Float[Tensor, " d"]]]]:
    """Layer -> position and vector of what a source writes to an MLP's output; -1: to the embeddings."""
    if node < analysis.numbering.positions:
        return {-1: [(node, analysis.frozen.embed[node])]}
    for layer, sources in zip(analysis.replacement.layers, analysis.numbering.layers, strict=True):
        position = torch.nonzero(sources.error_nodes == node)[:, 0].tolist()
        if position:
            return {layer.layer: [(position[0], layer.error[position[0]])]}
    units, number = analysis.unit(node)
    place = int(units.position[number])
    return {layer: [(place, units.activation[number] * rows[number])] for layer, rows in units.writers.items()}
