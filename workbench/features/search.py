"""Finding units by their labels, by an expression that their tokens match, by a token that they write."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.core import ConfigError, Progress, Result, Silent, Unit, position_mask
from workbench.models import TokenBatch

from .bench import Bench, into_residual
from .code_config import CodeSearchConfig
from .code_search import compile_pattern, mark
from .code_stream import CodeBatch, count_codes
from .config import SearchConfig
from .feature_scan import FeatureScan
from .units import unit_of


def search_labels(labels: Mapping[Unit, Sequence[tuple[str, str, float]]], words: str, rows: int = 50) -> Result:
    """Units whose labels hold every word, the best scored first.

    Args:
        labels: unit -> (text, source, score) of each of its labels; people's own have the source `you` and score 1.

    Table `units`: unit, label, source, score.
    """
    wanted = words.lower().split()
    found = [
        {"unit": str(unit), "label": text, "source": source, "score": score}
        for unit, of_unit in labels.items()
        for text, source, score in of_unit
        if all(word in text.lower() for word in wanted)
    ]
    whole = re.compile(r"\b" + r"\b.*\b".join(map(re.escape, wanted)) + r"\b", re.IGNORECASE)
    found.sort(key=lambda row: (not whole.search(row["label"]), -row["score"], row["unit"]))
    return Result(
        "unit search",
        {"found": float(len(found)), "labels": float(sum(map(len, labels.values())))},
        {"units": found[:rows]},
        params={"mode": "label", "words": words},
        notes=(f"{len(found)} labels hold every word; whole words first, then by score.",),
    )


def search_pattern(
    bench: Bench,
    scan: FeatureScan,
    pattern: str,
    config: SearchConfig | None = None,
    members: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Units by how well they tell the tokens that a regular expression's capture group marks in the scanned text.

    Precision, recall and the marking are those of `search_codes`; the model does not run.

    Table `units`: unit, precision, recall, f1, count, hits; by f1, best first.

    Raises:
        ConfigError: the expression is none, has not exactly one group, or marks no counted token.
    """
    config, compiled, progress = config or SearchConfig(), compile_pattern(pattern), progress or Silent()
    names = list(members or scan.members)
    progress.phase("searching the scan", float(len(scan.ids) * len(names)), "sequences")
    marking = CodeSearchConfig(tokens=config.tokens)
    keep = _kept(bench, scan)
    target = torch.zeros_like(keep)
    for first in range(0, len(scan.ids), 128):
        ids, lengths, mask = (t[first : first + 128] for t in (scan.ids, scan.lengths, keep))
        batch = TokenBatch(ids.long(), lengths.long())
        strings = [bench.model.tokenizer.strings(row[:n].tolist()) for row, n in zip(ids, lengths, strict=True)]
        target[first : first + 128] = mark(CodeBatch(batch, strings, mask, lengths, {}), compiled, marking) & mask
    targets = int(target.sum())
    if not targets:
        raise ConfigError(f"{pattern!r} marks no token of this text", hint="try another expression, or scan more text")
    rows: list[dict[str, Any]] = []
    for name in names:
        hits, count = torch.zeros(scan.members[name], dtype=torch.long), scan.statistic("count", name).long()
        for first, index, value in scan.codes(name):
            there = target[first : first + len(index)]
            hits += count_codes(torch.where(value != 0, index, -1)[there].long(), len(hits))
            progress.advance(float(len(index)))
        f1 = 2 * hits / (count + targets)
        f1 = torch.where(count >= config.least_count, f1, 0.0)
        best = f1.topk(min(config.rows, len(f1)))
        rows += [
            {
                "unit": str(unit_of(bench.dictionaries, name, i)),
                "precision": int(hits[i]) / int(count[i]),
                "recall": int(hits[i]) / targets,
                "f1": score,
                "count": int(count[i]),
                "hits": int(hits[i]),
            }
            for score, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if score > 0
        ]
    rows.sort(key=lambda row: (-row["f1"], -row["precision"], row["unit"]))
    counted = int(keep.sum())
    return Result(
        "unit search",
        {"targets": float(targets), "tokens": float(counted)},
        {"units": rows[: config.rows]},
        params={"mode": "pattern", "pattern": pattern, **config.model_dump(mode="json")},
        inputs=scan.inputs(),
        notes=(
            f"{targets:,} of {counted:,} counted tokens are targets ({config.tokens} token of each captured group); "
            f"a unit active at random is right {targets / counted:.2%} of the time.",
        ),
    )


@torch.no_grad()
def search_token(
    bench: Bench, token: str, scan: FeatureScan | None = None, config: SearchConfig | None = None, sign: int = 1
) -> Result:
    """Units by how much what they write raises (or, with sign -1, lowers) a token's logit on the direct path.

    Table `units`: unit, cosine (of what is written, as it reaches the stream, and the token's direction), logit (per
    unit of its value), typical (logit at the root mean square activation where active); by cosine.

    Raises:
        ConfigError: the text is no single token.
    """
    config, model = config or SearchConfig(), bench.model
    ids = model.tokenizer.encode(token)
    if len(ids) != 1:
        pieces = model.tokenizer.strings(ids)
        raise ConfigError(f"{token!r} is {len(ids)} tokens: {pieces}", hint="give one token; a leading space counts")
    parameters = model.params()
    unembedding, scale = parameters["unembed.W_U"].float(), parameters["ln_final.w"].float()
    direction = (unembedding[:, ids[0]] - unembedding.mean(1)) * scale
    if model.shape.norm == "layer":
        direction = direction - direction.mean()
    rows: list[dict[str, Any]] = []
    for name, dictionary in bench.dictionaries.items():
        every = torch.arange(dictionary.width, device=dictionary.device)
        parts = dictionary.writers(every).items()
        written = torch.stack([into_residual(model, site, rows.float()) for site, rows in parts]).sum(0)
        logit = (written @ direction.to(written)).cpu()
        cosine = sign * logit / (written.norm(dim=1).cpu() * float(direction.norm())).clamp_min(1e-12)
        usual = scan.table(name)["scale"] if scan and name in scan.members else None
        best = cosine.topk(min(config.rows, len(cosine)))
        rows += [
            {
                "unit": str(unit_of(bench.dictionaries, name, i)),
                "cosine": sign * score,
                "logit": float(logit[i]),
                "typical": float(logit[i] * usual[i]) if usual is not None else None,
            }
            for score, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
    rows.sort(key=lambda row: -sign * row["cosine"])
    return Result(
        "unit search",
        tables={"units": rows[: config.rows]},
        params={"mode": "token", "token": token, "sign": sign, **config.model_dump(mode="json")},
        inputs=scan.inputs() if scan else {},
        notes=(
            "Direct path only: what is written, final norm's weight, unembedding; the mean over tokens is removed.",
        ),
    )


def _kept(bench: Bench, scan: FeatureScan) -> Tensor:
    policy = scan.manifest.mask or bench.model.policy
    return position_mask(scan.ids, policy, bench.model.tokenizer.special_ids, scan.lengths)
