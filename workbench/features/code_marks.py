"""Regular expressions over the texts of tokens: which tokens their capture groups mark."""

import re

import torch
from jaxtyping import Bool
from torch import Tensor

from workbench.core import ConfigError

from .code_config import CodeSearchConfig
from .code_stream import CodeBatch

Pattern = re.Pattern[str]


def compile_pattern(pattern: str, groups: int | None = 1) -> Pattern:
    """A compiled expression with so many capture groups (None: any number).

    Raises:
        ConfigError: it cannot be compiled, or has other groups.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{pattern!r} is no regular expression", found=str(error)) from None
    if groups is not None and compiled.groups != groups:
        raise ConfigError(
            "wanted one capture group, which marks the tokens",
            found=f"{pattern!r} has {compiled.groups}",
            hint=r"e.g. \b(January|February)\b; write (?:...) for groups that mark nothing",
        )
    return compiled


def mark(batch: CodeBatch, pattern: Pattern, config: CodeSearchConfig) -> Bool[Tensor, "b t"]:
    """True at the tokens of captured groups."""
    marked = torch.zeros(batch.mask.shape, dtype=torch.bool)
    for row, strings in enumerate(batch.strings):
        ends = torch.tensor([len(string) for string in strings]).cumsum(0)
        starts = ends - torch.tensor([len(string) for string in strings])
        for match in pattern.finditer("".join(strings)):
            first, last = match.span(1)
            touched = ((starts < last) & (ends > first)).nonzero()[:, 0]
            if len(touched):
                marked[row, {"last": touched[-1:], "first": touched[:1], "all": touched}[config.tokens]] = True
    return marked
