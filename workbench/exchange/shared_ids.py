"""Whose link is it, where a feature and an error share one id?

circuit-tracer once wrote `0_{layer}_{position}` for errors: also the id of feature `layer` of layer 0. Nothing leads
into an error, and an error reaches only layers above its own; what is left is told by the order in which that
writer lists a target's links: features by layer, position and number, then errors by layer and position.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.core import Node


@dataclass(frozen=True)
class Ambiguous:
    """Links by id, the places in `nodes` that hold each id, and the nodes."""

    links: Sequence[tuple[str, str, float]]
    holders: Mapping[str, Sequence[int]]
    nodes: Sequence[Node]

    def feature(self, name: str) -> int:
        """The place of the id's feature, or of its only node."""
        return min(self.holders[name], key=lambda i: self.nodes[i].kind == "error")

    def error(self, name: str) -> int:
        """The place of the id's error."""
        return max(self.holders[name], key=lambda i: self.nodes[i].kind == "error")


def resolve(told: Ambiguous) -> tuple[list[tuple[int, int]], int]:
    """(source, target) places of every link, and how many could have been either's."""
    by_target: dict[str, list[int]] = defaultdict(list)
    for number, (_, target, _) in enumerate(told.links):
        by_target[target].append(number)
    found: list[tuple[int, int]] = [(0, 0)] * len(told.links)
    unsure = 0
    for target, numbers in by_target.items():
        place = told.feature(target)
        sources = [told.links[number][0] for number in numbers]
        for rank, number in enumerate(numbers):
            shared = len(told.holders[sources[rank]]) > 1
            mine, sure = _source(told, sources, rank, place) if shared else (told.feature(sources[rank]), True)
            found[number] = (mine, place)
            unsure += not sure
    return found, unsure


def _source(told: Ambiguous, sources: Sequence[str], rank: int, target: int) -> tuple[int, bool]:
    """The node behind a shared id, and whether that is certain."""
    name = sources[rank]
    feature, error = told.feature(name), told.error(name)
    if told.nodes[error].layer >= told.nodes[target].layer:
        return feature, True
    if (twins := [i for i, other in enumerate(sources) if other == name]) and len(twins) == 2:
        return (feature if rank == twins[0] else error), True
    before = [_key(told.nodes[told.feature(other)]) for other in sources[:rank] if len(told.holders[other]) == 1]
    after = [_key(told.nodes[told.feature(other)]) for other in sources[rank + 1 :] if len(told.holders[other]) == 1]
    fits = [
        place
        for place in (feature, error)
        if all(key < _key(told.nodes[place]) for key in before) and all(key > _key(told.nodes[place]) for key in after)
    ]
    return (fits[0], True) if len(fits) == 1 else (feature, False)


def _key(node: Node) -> tuple[int, int, int, int]:
    """The order in which circuit-tracer numbers nodes."""
    group = {"error": 1, "embed": 2, "logit": 3}.get(node.kind, 0)
    return (group, node.layer, node.position, node.index)
