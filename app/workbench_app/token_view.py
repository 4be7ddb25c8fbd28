"""The tokens of a prompt with how expected each was, as a Result: what a report shows as a coloured strip."""

import math

import numpy as np

from workbench.core import Result

from . import draft, state
from .analysis import MEASURES

KIND = "token view"


def view(model: str, ids: tuple[int, ...]) -> Result:
    """Surprise, rank and entropy of every token of a prompt on a loaded model, one pass (kept between looks)."""
    done, read = state.prompt_pass(model, ids), state.reading(model, ids)
    columns = {name: getattr(read, name) for name in MEASURES}
    rows = [
        {"position": t, "token": text, "token_id": done.ids[t], **{n: _number(x[t]) for n, x in columns.items()}}
        for t, text in enumerate(done.tokens)
    ]
    return Result(
        KIND,
        {"mean_surprise": float(np.nanmean(read.surprise)) if len(ids) > 1 else math.nan},
        {"tokens": rows},
        params={"model": model},
        notes=("Surprise is −log p of a token given those before it, in nats; the first token has none.",),
    )


def add(model: str, ids: tuple[int, ...], measure: str, title: str, *, address: str = "", python: str = "") -> str:
    """Put the tokens, coloured by a measure, at the end of the report draft; returns the title."""
    return draft.add(title, address=address, python=python, result=view(model, ids), strip=measure)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
