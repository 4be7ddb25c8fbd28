"""Supernodes: which nodes of a graph look like one thing, as a value that people edit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from workbench.core import CircuitGraph, ConfigError, Result, nearest
from workbench.dictionaries import DictionarySet

from .group_config import GroupConfig
from .prune import edge_influence

GROUPED = ("feature", "code", "neuron", "head", "mlp")


@dataclass(frozen=True)
class Supernode:
    """Nodes that are read as one thing: a name, node ids, why."""

    name: str
    members: tuple[str, ...]
    rationale: str = ""


@dataclass(frozen=True)
class Grouping:
    """Supernodes of one graph; a node is in one at most. Every edit gives a new Grouping.

    Raises:
        ConfigError: two groups of one name, an empty one, or a node in two of them.
    """

    groups: tuple[Supernode, ...] = ()

    def __post_init__(self) -> None:
        names = [group.name for group in self.groups]
        members = [member for group in self.groups for member in group.members]
        for told, found in (("two groups are called", names), ("two groups hold", members)):
            if twice := [one for one in dict.fromkeys(found) if found.count(one) > 1]:
                raise ConfigError(f"{told} {twice[0]!r}")
        if empty := [group.name for group in self.groups if not group.members]:
            raise ConfigError(f"the group {empty[0]!r} has no members")

    def group(self, name: str) -> Supernode:
        """The group of that name."""
        for one in self.groups:
            if one.name == name:
                return one
        raise ConfigError(f"no group {name!r}", hint=nearest(name, [one.name for one in self.groups]))

    def of(self, node: str) -> str | None:
        """The name of the group that holds a node."""
        return next((one.name for one in self.groups if node in one.members), None)

    def rename(self, name: str, to: str, rationale: str | None = None) -> "Grouping":
        """A group under another name, with another reason if one is given."""
        told = self.group(name)
        made = replace(told, name=to, rationale=told.rationale if rationale is None else rationale)
        return Grouping(tuple(made if one == told else one for one in self.groups))

    def merge(self, names: Sequence[str], to: str) -> "Grouping":
        """Several groups as one."""
        parts = [self.group(name) for name in names]
        members = tuple(member for part in parts for member in part.members)
        made = Supernode(to, members, "; ".join(dict.fromkeys(p.rationale for p in parts if p.rationale)))
        return Grouping((made, *(one for one in self.groups if one not in parts)))

    def remove(self, name: str) -> "Grouping":
        """Without one group; its members stand alone again."""
        gone = self.group(name)
        return Grouping(tuple(one for one in self.groups if one != gone))

    def move(self, node: str, to: str | None) -> "Grouping":
        """A node into a group (a new one if there is none of that name), or out of all of them."""
        kept = [replace(one, members=tuple(m for m in one.members if m != node)) for one in self.groups]
        if to is not None:
            if to not in [one.name for one in kept]:
                kept.append(Supernode(to, ()))
            kept = [replace(one, members=(*one.members, node)) if one.name == to else one for one in kept]
        return Grouping(tuple(one for one in kept if one.members))

    def check(self, graph: CircuitGraph) -> "Grouping":
        """Itself, where every member is a node of the graph."""
        known = {node.id for node in graph.nodes}
        for one in self.groups:
            for member in one.members:
                if member not in known:
                    raise ConfigError(f"the group {one.name!r} holds {member!r}", found="the graph has no such node")
        return self

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data, one table a group."""
        return [{"name": one.name, "members": list(one.members), "rationale": one.rationale} for one in self.groups]

    @classmethod
    def from_json(cls, data: Any) -> "Grouping":
        """What `to_json` wrote.

        Raises:
            ConfigError: something else.
        """
        if not isinstance(data, list):
            raise ConfigError("groups are a list of tables with name and members", found=f"found {type(data).__name__}")
        groups = []
        for one in data:
            fine = isinstance(one, dict) and isinstance(one.get("name"), str) and isinstance(one.get("members"), list)
            if not fine or not all(isinstance(member, str) for member in one["members"]):
                raise ConfigError("a group is a table with name, members and rationale", found=f"found {one!r:.80}")
            groups.append(Supernode(one["name"], tuple(one["members"]), str(one.get("rationale", ""))))
        return cls(tuple(groups))


def suggest_groups(
    graph: CircuitGraph,
    dictionaries: DictionarySet | None = None,
    contexts: Result | None = None,
    labels: Mapping[str, str] | None = None,
    config: GroupConfig | None = None,
) -> Grouping:
    """Groups of features that write alike, fire on the same tokens, or stand between the same nodes.

    Likeness is the weighted mean of the parts that are known (each 0 to 1); groups are cut from an average-linkage
    tree (scipy), so that the mean likeness of two joined branches is at least `similarity`. Prune first.

    Args:
        contexts: of kind `contexts` (`FeatureScan.contexts`). labels: node id -> words for names.
    """
    config = config or GroupConfig()
    numbers = [i for i, node in enumerate(graph.nodes) if node.kind in GROUPED]
    if len(numbers) < 2:
        return Grouping()
    parts = likeness(graph, numbers, dictionaries, contexts)
    weights = {"decoder": config.decoder, "contexts": config.contexts, "role": config.role}
    known = {name: part for name, part in parts.items() if weights[name]}
    total = sum(weights[name] * part.isfinite() for name, part in known.items())
    summed = sum((weights[name] * part.nan_to_num() for name, part in known.items()), torch.zeros(()))
    alike = summed / torch.as_tensor(total).clamp(min=1e-12)
    layers = torch.tensor([graph.nodes[i].layer for i in numbers])
    alike = alike.masked_fill((layers[:, None] - layers[None]).abs() > config.layers_apart, 0.0)
    distance = (1 - alike).clamp(0, 1)
    distance.fill_diagonal_(0)
    tree = linkage(squareform(distance.double().numpy(), checks=False), method="average")
    found: dict[int, list[int]] = {}
    for place, mark in enumerate(fcluster(tree, 1 - config.similarity, criterion="distance").tolist()):
        found.setdefault(mark, []).append(place)
    groups = [places for places in found.values() if len(places) > 1]
    groups.sort(key=lambda places: -sum(abs(graph.nodes[numbers[p]].effect) for p in places))
    named: list[Supernode] = []
    for places in groups:
        members = [numbers[p] for p in places]
        reason = _reason({name: part[places][:, places] for name, part in known.items()})
        named.append(Supernode(_name(graph, members, labels, [g.name for g in named]), _ids(graph, members), reason))
    return Grouping(tuple(named))


def likeness(
    graph: CircuitGraph,
    numbers: Sequence[int],
    dictionaries: DictionarySet | None = None,
    contexts: Result | None = None,
) -> dict[str, Float[Tensor, "n n"]]:
    """Pairwise likeness of nodes by part, 0 to 1; nan where a part knows nothing of one of them."""
    parts = {"role": _cosines(_roles(graph, numbers))}
    if dictionaries is not None:
        parts["decoder"] = _cosines(_writes(graph, numbers, dictionaries))
    if contexts is not None:
        parts["contexts"] = _cosines(_peaks(graph, numbers, contexts))
    return parts


def _cosines(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    norms = rows.norm(dim=1)
    unit = rows / norms.clamp(min=1e-30)[:, None]
    found = (unit @ unit.T).clamp(0, 1)
    unknown = ~(norms > 0)
    found[unknown] = float("nan")
    found[:, unknown] = float("nan")
    return found


def _roles(graph: CircuitGraph, numbers: Sequence[int]) -> Float[Tensor, "n m"]:
    """Where a node's influence comes from and goes to: signed edge influences, inputs beside outputs."""
    worth = edge_influence(graph)[1] * graph.weight.sign().double()
    n = len(graph.nodes)
    dense = torch.zeros(n, n, dtype=torch.float64)
    dense.index_put_((graph.target, graph.source), worth, accumulate=True)
    chosen = torch.tensor(list(numbers), dtype=torch.long)
    into, out = dense[chosen], dense.T[chosen]
    return torch.cat([part / part.norm(dim=1, keepdim=True).clamp(min=1e-30) for part in (into, out)], 1)


def _writes(graph: CircuitGraph, numbers: Sequence[int], dictionaries: DictionarySet) -> Float[Tensor, "n d"]:
    """What each node writes to the residual stream, summed over the sites that it writes."""
    rows: dict[int, Tensor] = {}
    for place, number in enumerate(numbers):
        node = graph.nodes[number]
        if node.kind != "feature" or node.unit is None:
            continue
        written = dictionaries.by_layer(node.layer).writers(torch.tensor([node.index]))
        rows[place] = torch.stack([part[0].detach().double().cpu() for part in written.values()]).sum(0)
    width = len(next(iter(rows.values()))) if rows else 1
    found = torch.zeros(len(numbers), width, dtype=torch.float64)
    for place, row in rows.items():
        found[place] = row
    return found


def _peaks(graph: CircuitGraph, numbers: Sequence[int], contexts: Result) -> Float[Tensor, "n m"]:
    """How strongly each node's unit fires on each token text, over its text windows."""
    places: dict[str, dict[str, float]] = {}
    for row in contexts.tables.get("contexts", []):
        bag = places.setdefault(str(row["unit"]), {})
        for token, value in zip(row["tokens"], row["values"], strict=True):
            if value:
                bag[token.strip().lower()] = bag.get(token.strip().lower(), 0.0) + float(value)
    words = {word: place for place, word in enumerate(sorted({w for bag in places.values() for w in bag}))}
    found = torch.zeros(len(numbers), max(len(words), 1), dtype=torch.float64)
    for place, number in enumerate(numbers):
        for word, value in places.get(str(graph.nodes[number].unit), {}).items():
            found[place, words[word]] = value
    return found


def _reason(parts: Mapping[str, Tensor]) -> str:
    told = []
    for name, part in parts.items():
        pairs = part[torch.triu(torch.ones_like(part), 1).bool()]
        pairs = pairs[pairs.isfinite()]
        if len(pairs):
            told.append(f"{name} {float(pairs.mean()):.2f}")
    return f"mean likeness: {', '.join(told)}"


def _name(graph: CircuitGraph, members: Sequence[int], labels: Mapping[str, str] | None, taken: Sequence[str]) -> str:
    strongest = max(members, key=lambda i: abs(graph.nodes[i].effect))
    node = graph.nodes[strongest]
    words = (labels or {}).get(node.id) or node.label or f"{node.kind} {node.layer}.{node.index}"
    name, number = words, 2
    while name in taken:
        name, number = f"{words} ({number})", number + 1
    return name


def _ids(graph: CircuitGraph, members: Sequence[int]) -> tuple[str, ...]:
    return tuple(graph.nodes[i].id for i in sorted(members, key=lambda i: -abs(graph.nodes[i].effect)))


def grouped_edges(graph: CircuitGraph, grouping: Grouping, most: int = 30) -> list[dict[str, Any]]:
    """What supernodes and single nodes hand to each other, strongest first.

    `weight` is the sum of signed edge influences as a share of all edge influence: weights into different nodes have
    different units, influence adds up. `edges` counts the edges behind it.
    """
    worth = edge_influence(graph)[1]
    total = float(worth.sum()) or 1.0
    homes = {member: one.name for one in grouping.groups for member in one.members}
    names = [homes.get(node.id) or _single(graph, i) for i, node in enumerate(graph.nodes)]
    sums: dict[tuple[str, str], list[float]] = {}
    signed = (worth * graph.weight.sign()).tolist()
    for source, target, value in zip(graph.source.tolist(), graph.target.tolist(), signed, strict=True):
        if names[source] != names[target]:
            cell = sums.setdefault((names[source], names[target]), [0.0, 0])
            cell[0] += value / total
            cell[1] += 1
    ordered = sorted(sums.items(), key=lambda item: (-abs(item[1][0]), item[0]))[:most]
    return [{"source": s, "target": t, "weight": value, "edges": int(count)} for (s, t), (value, count) in ordered]


def _single(graph: CircuitGraph, number: int) -> str:
    node = graph.nodes[number]
    token = graph.tokens[node.position].strip() or repr(graph.tokens[node.position])
    if node.kind == "embed":
        return f"token {token} ({node.position})"
    if node.kind == "logit":
        return f"output {node.label}"
    name = f"{node.layer}.{node.index}" if node.kind != "error" else f"L{node.layer}"
    return f"{node.label or node.kind} {name} at {token} ({node.position})"
