"""Units that tell two sets of texts apart, with permutation tests."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import ConfigError, Progress, Result, Silent, generator, position_mask

from .bench import Bench
from .config import SearchConfig
from .text_search import activations
from .units import unit_of


@torch.no_grad()
def contrast_texts(
    bench: Bench,
    first: Sequence[str],
    second: Sequence[str],
    config: SearchConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Units that fire more on one set of texts than on another, with permutation p-values.

    A unit's score of a text is its mean activation over the counted tokens. `effect` is the difference of the sets'
    means over the pooled standard deviation, which counts as no smaller than the median of all units' (a constant unit
    would be infinitely different otherwise; Tusher et al. 2001 add such a constant). `auroc` is the share of pairs of
    texts, one of either set, in which the first set's scores higher; ties count half. Labels are shuffled
    `permutations` times: `p` is the share of relabellings (the true one among them) with as large a |difference|,
    `p_family` that in which any unit's standardised difference is as large, which allows for having looked at all of
    them.

    Table `units`: unit, effect, auroc, first, second (means), p, p_family; by |effect|.

    Raises:
        ConfigError: fewer than two texts on a side.
    """
    config, progress = config or SearchConfig(), progress or Silent()
    if min(len(first), len(second)) < 2:
        raise ConfigError("a contrast wants two texts or more on either side", found=f"{len(first)} and {len(second)}")
    texts = [*first, *second]
    progress.phase("reading texts", len(texts), "texts")
    found: dict[str, list[Tensor]] = {name: [] for name in bench.dictionaries}
    for text in texts:
        tokens = bench.model.tokens(text)
        for name, dense in activations(bench, tokens).items():
            counted = position_mask(tokens.ids.cpu(), bench.model.policy, bench.model.tokenizer.special_ids)[0]
            found[name].append(dense[0][counted].mean(0) if counted.any() else dense[0].mean(0))
        progress.advance()
    wide = torch.cat([torch.stack(parts) for parts in found.values()], 1)
    addresses = [(name, index) for name, parts in found.items() for index in range(len(parts[0]))]
    alive = (wide != 0).any(0).nonzero()[:, 0]
    wide = wide[:, alive]
    n, m = len(first), len(texts)
    truth = torch.zeros(m, dtype=torch.bool)
    truth[:n] = True
    effect, means = _effect(wide, truth)
    draw = generator(config.seed, "contrast")
    as_large, any_as_large = torch.ones(len(alive)), torch.ones(len(alive))
    observed = wide[truth].mean(0) - wide[~truth].mean(0)
    for _ in range(config.permutations):
        shuffled = torch.zeros(m, dtype=torch.bool)
        shuffled[torch.randperm(m, generator=draw)[:n]] = True
        as_large += (wide[shuffled].mean(0) - wide[~shuffled].mean(0)).abs() >= observed.abs() - 1e-9
        any_as_large += _effect(wide, shuffled)[0].abs().max() >= effect.abs() - 1e-6
    total = config.permutations + 1
    best = effect.abs().topk(min(config.rows, len(effect))).indices.tolist()
    rows = [
        {
            "unit": str(unit_of(bench.dictionaries, *addresses[int(alive[i])])),
            "effect": float(effect[i]),
            "auroc": _auroc(wide[truth, i], wide[~truth, i]),
            "first": float(means[0][i]),
            "second": float(means[1][i]),
            "p": float(as_large[i]) / total,
            "p_family": float(any_as_large[i]) / total,
        }
        for i in best
    ]
    return Result(
        "unit search",
        {"first_texts": float(n), "second_texts": float(m - n), "units_active": float(len(alive))},
        {"units": rows},
        params={"mode": "contrast", "first": list(first), "second": list(second), **config.model_dump(mode="json")},
        notes=(
            f"{n} texts against {m - n}; {len(alive):,} units fire on any of them. p: {config.permutations:,} "
            "relabellings of the texts; p_family allows for having looked at every unit. Effect: difference over the "
            "pooled standard deviation, no smaller than the median unit's; auroc: how often a text of the first set "
            "scores higher.",
        ),
        seed=config.seed,
    )


def _effect(wide: Float[Tensor, "m f"], side: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    a, b = wide[side], wide[~side]
    means = a.mean(0), b.mean(0)
    pooled = ((a.var(0) * (len(a) - 1) + b.var(0) * (len(b) - 1)) / (len(a) + len(b) - 2)).sqrt()
    within = pooled / wide.abs().amax(0).clamp_min(1e-9)  # units differ in size, so the floor is a share of each one's
    floor = within[within > 0].median() if bool((within > 0).any()) else torch.tensor(1.0)
    return (means[0] - means[1]) / wide.abs().amax(0).clamp_min(1e-9) / within.clamp_min(floor), means


def _auroc(first: Float[Tensor, " a"], second: Float[Tensor, " b"]) -> float:
    above = (first[:, None] > second).float() + 0.5 * (first[:, None] == second).float()
    return float(above.mean())
