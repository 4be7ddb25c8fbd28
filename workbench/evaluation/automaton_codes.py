"""What codes of the automaton's model stand for: their precision beside the best neuron's, and their purity."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Site, child
from workbench.dictionaries import Dictionary

from .automaton import BATCH, AutomatonSubject
from .automaton_config import AutomatonEvalConfig
from .bootstrap import Estimate, ratio


@dataclass(frozen=True)
class CodeCounts:
    """How often each code of one dictionary fired at each label.

    Attributes:
        counts: [width, labels]; labels are the states (second digits), then 10 * state + digit (first digits after
            a state), then everything else.
        targets: how often each label stood in the text.
    """

    codec: Dictionary
    counts: Int[Tensor, "f l"]
    targets: Int[Tensor, " l"]

    @property
    def uses(self) -> Int[Tensor, " f"]:
        return self.counts.sum(1)


@dataclass(frozen=True)
class BestCode:
    """The code that tells a state best, and the neuron that does at the same recall."""

    state: int
    codec: str
    code: int
    precision: float
    recall: float
    neuron: str = ""
    neuron_precision: float = float("nan")


def labels_of(subject: AutomatonSubject, ids: Int[Tensor, "n t"]) -> tuple[Int[Tensor, "n t"], int]:
    """A label for every token, and how many there are: its state, its state and digit, or neither (the last)."""
    states, pairs = subject.automaton.states_of(ids), subject.automaton.trigrams_of(ids)
    count = subject.automaton.config.states
    rest = 11 * count
    found = torch.full_like(ids, rest)
    found = torch.where(states >= 0, states, found)
    return torch.where(pairs >= 0, count + pairs, found), rest + 1


@torch.no_grad()
def count_codes(subject: AutomatonSubject, ids: Int[Tensor, "n t"]) -> list[CodeCounts]:
    """Every dictionary's codes against the labels of some sequences."""
    labels, total = labels_of(subject, ids)
    counts = [torch.zeros(codec.width * total, dtype=torch.long) for codec in subject.codecs]
    for start in range(0, len(ids), BATCH):
        run = subject.model.run(ids[start : start + BATCH], subject.edits)
        own = labels[start : start + BATCH].flatten()
        for codec, count in zip(subject.codecs, counts, strict=True):
            codes = run.codes[codec.name].padded()
            at = (codes.index.cpu() * total + own[:, None])[codes.value.cpu() != 0]
            count += torch.bincount(at, minlength=len(count))
    targets = torch.bincount(labels.flatten(), minlength=total)
    return [
        CodeCounts(codec, count.view(codec.width, total), targets)
        for codec, count in zip(subject.codecs, counts, strict=True)
    ]


def best_codes(
    counts: list[CodeCounts], states: int, least_recall: float, labels: Int[Tensor, " m"] | None = None
) -> list[BestCode]:
    """For each state that occurs: the most precise code with the recall asked for (of equals, that of more recall).

    `labels` takes others than the states.
    """
    found = []
    for label in torch.arange(states) if labels is None else labels:
        best: BestCode | None = None
        for own in counts:
            targets = int(own.targets[label])
            if not targets:
                continue
            hits, uses = own.counts[:, label].double(), own.uses.clamp_min(1)
            recall, precision = hits / targets, hits / uses
            score = torch.where(recall > least_recall, precision + 1e-6 * recall, -1.0)
            code = int(score.argmax())
            if score[code] < 0 or (best and float(score[code]) <= best.precision + 1e-6 * best.recall):
                continue
            best = BestCode(int(label), own.codec.name, code, float(precision[code]), float(recall[code]))
        if best is not None:
            found.append(best)
    return found


@torch.no_grad()
def with_neurons(
    best: list[BestCode],
    subject: AutomatonSubject,
    ids: Int[Tensor, "n t"],
    kinds: tuple[str, ...] = ("attn_z", "mlp_out"),
    both_signs: bool = False,
) -> list[BestCode]:
    """Beside each code the most precise neuron of a model whose threshold gives it the code's recall.

    The reference's baseline: neurons are the coordinates of attention and MLP outputs, firing above a threshold.
    `both_signs` lets them fire below one, too. Codes of several models may stand in `best`, so that the neurons are
    sorted once for all.
    """
    sites = [Site(kind, layer) for layer in range(subject.model.shape.n_layers) for kind in kinds]
    labels = labels_of(subject, ids)[0].flatten()
    targets = {code.state: labels == code.state for code in best}
    wanted = dict.fromkeys((code.state, code.recall) for code in best)
    found: dict[tuple[int, float], tuple[float, str]] = {}
    for site, values in _neurons(subject, ids, sites).items():
        for sign in (1, -1) if both_signs else (1,):
            columns = (sign * values).T.contiguous().sort(1).values
            for state, recall in wanted:
                precision = _at_recall(sign * values[targets[state]], columns, recall)
                neuron = int(precision.argmax())
                if float(precision[neuron]) > found.get((state, recall), (-1.0, ""))[0]:
                    found[state, recall] = float(precision[neuron]), f"{'-' if sign < 0 else ''}{site}.n{neuron}"
    made = []
    for c in best:
        precision, neuron = found[c.state, c.recall]
        made.append(BestCode(c.state, c.codec, c.code, c.precision, c.recall, neuron, precision))
    return made


def _at_recall(targets: Float[Tensor, "m d"], columns: Float[Tensor, "d n"], recall: float) -> Float[Tensor, " d"]:
    """Precision of every neuron at the threshold where it fires at `recall` of the targets.

    columns: every neuron's values, from small to large.
    """
    hits = max(1, round(recall * len(targets)))
    threshold = targets.topk(hits, dim=0).values[-1]
    below = torch.searchsorted(columns, threshold[:, None].contiguous(), right=False)[:, 0]
    return hits / (columns.shape[1] - below).double()


def _neurons(subject: AutomatonSubject, ids: Int[Tensor, "n t"], sites: list[Site]) -> Mapping[Site, Tensor]:
    parts: dict[Site, list[Tensor]] = {site: [] for site in sites}
    for start in range(0, len(ids), BATCH):
        found = subject.model.run(ids[start : start + BATCH], subject.edits, sites=sites, logits=False).activations
        for site, values in found.items():
            parts[site].append(values.flatten(0, 1).flatten(1).cpu().float())
    return {site: torch.cat(values) for site, values in parts.items()}


def mean_precision(best: list[BestCode], config: AutomatonEvalConfig) -> tuple[Estimate, Estimate]:
    """Mean precision over the states, of the codes and of the neurons beside them, with intervals over states."""
    ones = np.ones(len(best))
    codes, neurons = (np.array([getattr(code, name) for code in best]) for name in ("precision", "neuron_precision"))
    return ratio(codes, ones, config.intervals), ratio(neurons, ones, config.intervals)


@dataclass(frozen=True)
class Purity:
    """Codes of one dictionary that stand for one thing.

    Attributes:
        used: codes that fired often enough to count.
        states, pairs: share of them that fire for exactly one state, or one state and digit, and nothing else.
        weighted: share of all uses that are such codes'.
    """

    codec: str
    layer: int
    kind: str
    used: int
    states: float
    pairs: float
    weighted: float


def purity(counts: CodeCounts, states: int, least_uses: int) -> Purity:
    """How many used codes of a dictionary stand for one label only."""
    uses = counts.uses
    used = uses >= least_uses
    pure = used & ((counts.counts > 0).sum(1) == 1)
    label = counts.counts.argmax(1)
    of_states, of_pairs = pure & (label < states), pure & (label >= states) & (label < 11 * states)
    number, site = max(int(used.sum()), 1), counts.codec.reads[0]
    return Purity(
        codec=counts.codec.name,
        layer=site.layer or 0,
        kind=site.kind,
        used=int(used.sum()),
        states=int(of_states.sum()) / number,
        pairs=int(of_pairs.sum()) / number,
        weighted=float(uses[of_states | of_pairs].sum() / uses.sum().clamp_min(1)),
    )


def code_sample(subject: AutomatonSubject, config: AutomatonEvalConfig) -> Int[Tensor, "n t"]:
    """The sequences on which codes and neurons are judged."""
    return subject.automaton.sample(config.code_sequences, child(config.seed, "codes"))
