"""The strongest edges of a graph that is never held whole."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .sweep import Rows


class StrongestEdges:
    """Keeps the `limit` edges with the largest edge influence out of rows that come and go.

    Edge influence = |weight| / row sum of |weights| * influence of the target node. Edges into the targets
    themselves are all kept.

    Args:
        nodes: the sources that are nodes of the graph; edges from others count in `total` and are not kept.
    """

    def __init__(self, limit: int, nodes: Bool[Tensor, " s"]) -> None:
        self.limit, self._nodes = limit, nodes
        self.total = self.kept = 0.0
        self._threshold = 0.0
        self._always: list[tuple[Tensor, Tensor, Tensor]] = []
        self._parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._held = 0

    def add_all(self, rows: Rows, worth: Float[Tensor, " n"]) -> None:
        """Keep every edge of some rows."""
        target, source = torch.nonzero(rows.weight * self._nodes, as_tuple=True)
        weight = rows.weight[target, source]
        self._always.append((source, rows.nodes[target], weight))
        self.total += float((rows.weight.abs().sum(1) * worth).sum())
        self.kept += float((weight.abs() * worth[target]).sum())

    def add(self, rows: Rows, absolute: Float[Tensor, "n s"], worth: Float[Tensor, " n"]) -> None:
        """Offer the edges of some rows; overwrites `absolute`."""
        influence = absolute.mul_(worth[:, None])
        self.total += float(influence.sum())
        if not self._nodes.all():
            influence *= self._nodes[: influence.shape[1]]
        flat = influence.flatten()
        chosen = torch.nonzero(flat > self._threshold)[:, 0]
        if len(chosen) > self.limit:
            chosen = flat.topk(self.limit, sorted=False).indices
        row, source = chosen // rows.weight.shape[1], chosen % rows.weight.shape[1]
        self._parts.append((flat[chosen], source, rows.nodes[row], rows.weight.flatten()[chosen]))
        self._held += len(chosen)
        if self._held > 2 * self.limit:
            self._trim()

    def result(self) -> tuple[Int[Tensor, " e"], Int[Tensor, " e"], Float[Tensor, " e"]]:
        """source, target, weight of the edges kept, ordered by target, then source."""
        self._trim()
        parts = [(source, target, weight) for _, source, target, weight in self._parts] + self._always
        source, target, weight = (torch.cat(column) for column in zip(*parts, strict=True))
        self.kept += sum(float(part[0].sum()) for part in self._parts)
        order = torch.argsort(target * (int(source.max()) + 1) + source) if len(source) else source
        return source[order], target[order], weight[order]

    def _trim(self) -> None:
        if not self._parts:
            return
        columns = [torch.cat(column) for column in zip(*self._parts, strict=True)]
        if len(columns[0]) > self.limit:
            best = columns[0].topk(self.limit, sorted=False).indices
            columns = [column[best] for column in columns]
            self._threshold = float(columns[0].min())
        self._parts = [(columns[0], columns[1], columns[2], columns[3])]
        self._held = len(columns[0])
