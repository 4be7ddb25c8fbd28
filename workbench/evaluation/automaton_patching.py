"""Interventions on states: give a prompt that ends with A the codes that it would have with B, and see what follows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Codes, Edit, Site, child, generator
from workbench.dictionaries import Dictionary

from .automaton import BATCH, AutomatonSubject
from .automaton_config import AutomatonEvalConfig
from .bootstrap import Estimate, ratio

NONE, RANDOM = "none", "random codes"


@dataclass(frozen=True)
class Patched:
    """One set of patched codes.

    Attributes:
        target: `state` (at its second digit) or `state and digit` (at the first digit of the next one).
        divergence: JSD (nats) to what follows the other prompt, relative to the same without a patch.
    """

    target: str
    patch: str
    divergence: Estimate


def patch_sets(codecs: Sequence[Dictionary]) -> dict[str, tuple[Site, ...]]:
    """Every single site, all attention, all MLPs, and everything, by name."""
    sites = [codec.reads[0] for codec in codecs]
    found: dict[str, tuple[Site, ...]] = {str(site): (site,) for site in sites}
    attention = tuple(site for site in sites if site.kind.startswith("attn"))
    mlps = tuple(site for site in sites if site.kind.startswith("mlp"))
    if attention:
        found["all attention"] = attention
    if mlps:
        found["all MLP"] = mlps
    if attention and mlps:
        found["all"] = tuple(sites)
    return found


@torch.no_grad()
def patch_states(subject: AutomatonSubject, config: AutomatonEvalConfig | None = None) -> list[Patched]:
    """The normalised divergence of every patch set, for states and for states with a digit.

    Controls: no patch (1 by definition), and random used codes in place of the other prompt's, for the widest sets.
    """
    config = config or AutomatonEvalConfig()
    found = []
    for target, extra in (("state", 0), ("state and digit", 1)):
        receives, gives = _pairs(subject, config, extra)
        distances = _distances(subject, receives, gives, config)
        for patch, found_here in distances.items():
            found.append(Patched(target, patch, ratio(found_here, distances[NONE], config.intervals)))
    return found


def _pairs(
    subject: AutomatonSubject, config: AutomatonEvalConfig, extra: int
) -> tuple[Int[Tensor, "n t"], Int[Tensor, "n t"]]:
    """Prompts of legal walks in pairs that end with different states (and one more digit, if asked)."""
    walks = subject.automaton.sample_states(4 * config.pairs, child(config.seed, "pairs"))
    last = config.prompt_states - 1
    first, second = walks[0::2], walks[1::2]
    differ = (first[:, last] != second[:, last]).nonzero().flatten()[: config.pairs]
    length = 1 + 2 * config.prompt_states + extra
    return tuple(subject.automaton.write(part[differ])[:, :length] for part in (first, second))  # pyright: ignore[reportReturnType]


def _distances(
    subject: AutomatonSubject,
    receives: Int[Tensor, "n t"],
    gives: Int[Tensor, "n t"],
    config: AutomatonEvalConfig,
) -> dict[str, Float[np.ndarray, " n"]]:
    """Of every patch set the divergences between what follows the patched and the other prompt."""
    sets = patch_sets(subject.codecs)
    widest = [name for name in ("all MLP", "all attention", "all") if name in sets]
    used = _used_codes(subject, gives)
    draw = generator(config.seed, "random codes")
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(receives), BATCH):
        own, other = receives[start : start + BATCH], gives[start : start + BATCH]
        sites = [codec.reads[0] for codec in subject.codecs]
        donor = subject.model.run(other, subject.edits, sites=sites)
        wanted = _last(donor.logits)
        noise = {
            codec.reads[0]: _random_codes(codec, used[codec.name], donor.activations[codec.reads[0]], draw)
            for codec in subject.codecs
        }
        plans = {NONE: ((), donor.activations)} | {name: (chosen, donor.activations) for name, chosen in sets.items()}
        plans |= {f"{RANDOM}: {name}": (sets[name], noise) for name in widest}
        for name, (chosen, values) in plans.items():
            edits = [Edit.set(site, values[site], rows=(own.shape[1] - 1,)) for site in chosen]
            run = subject.model.run(own, [*subject.edits, *edits])
            parts.setdefault(name, []).append(divergence(_last(run.logits), wanted))
    return {name: torch.cat(found).numpy() for name, found in parts.items()}


def divergence(p: Float[Tensor, "n v"], q: Float[Tensor, "n v"]) -> Float[Tensor, " n"]:
    """Jensen-Shannon divergence in nats."""
    middle = (p + q) / 2

    def against(x: Tensor) -> Tensor:
        return (torch.special.xlogy(x, x) - torch.special.xlogy(x, middle)).sum(1)

    return (against(p) + against(q)) / 2


def _last(logits: Tensor | None) -> Float[Tensor, "n v"]:
    assert logits is not None
    return logits[:, -1].double().softmax(1).cpu()


def _used_codes(subject: AutomatonSubject, ids: Int[Tensor, "n t"]) -> dict[str, Int[Tensor, " m"]]:
    """The codes of each dictionary that some text uses at its last token."""
    found: dict[str, Tensor] = {}
    run = subject.model.run(ids, subject.edits)
    for codec in subject.codecs:
        index = run.codes[codec.name].padded().index
        found[codec.name] = index.view(len(ids), ids.shape[1], -1)[:, -1].unique().cpu()
    return found


def _random_codes(
    codec: Dictionary, used: Int[Tensor, " m"], like: Float[Tensor, "n t ..."], draw: torch.Generator
) -> Float[Tensor, "n t ..."]:
    """What random used codes write at the last token: as many of each group as the dictionary chooses."""
    config, value = codec.config, 1.0
    groups, k, per_group = getattr(config, "groups", 1), config.k, codec.width // getattr(config, "groups", 1)
    value = 1 / k if getattr(config, "pool", "sum") == "mean" else 1.0
    index = []
    for group in range(groups):
        own = used[(used >= group * per_group) & (used < (group + 1) * per_group)]
        index.append(own[torch.randint(len(own), (len(like), k), generator=draw)])
    codes = Codes(torch.cat(index, 1), torch.full((len(like), groups * k), value), codec.width)
    decoded = codec.decode(codes)[codec.writes[0]]
    found = like.clone()
    found[:, -1] = decoded.view(found[:, -1].shape).to(found)
    return found
