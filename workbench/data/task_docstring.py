"""Docstring: the next argument to describe (Heimersheim and Janiak 2023, "A circuit for Python docstrings")."""

import random
from collections.abc import Sequence

from workbench.core import PromptPair, child, register_task

from .pack import TextTokenizer
from .task_words import COMMON, single_tokens

_ARGUMENT_WORDS = """
files size load path name value key index line text color width height page user code data image state result
model order point rate source target group level type date number message url option field score limit
"""
_ARGUMENTS = tuple(_ARGUMENT_WORDS.split())
_CODE = '''def {function}(self, {a}, {b}, {c}, {d}):
    """{w1} {w2} {w3}

    :param {x}: {w4} {w5}
    :param {y}: {w6} {w7}
    :param'''


@register_task("docstring", "the argument that a docstring has to describe next")
def docstring(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """Two of four arguments are described; right is the third, wrong are the others.

    In the corrupted twin the function has four other arguments, and the docstring describes two that it has not.
    """
    draw = random.Random(child(seed, "docstring"))
    arguments = single_tokens(tokenizer, _ARGUMENTS, 12, "docstring")
    words = single_tokens(tokenizer, COMMON, 10, "docstring")
    prompts = []
    for _ in range(count):
        function, *described = draw.sample(words, 8)
        names = draw.sample(arguments, 10)
        filled = {"function": function} | {f"w{i}": word for i, word in enumerate(described, start=1)}
        clean, other = dict(zip("abcd", names, strict=False)), dict(zip("abcd", names[4:], strict=False))
        prompt = _CODE.format(**filled, **clean, x=names[0], y=names[1])
        corrupted = _CODE.format(**filled, **other, x=names[8], y=names[9])
        foils = tuple(f" {clean[letter]}" for letter in "dab")
        prompts.append(PromptPair(prompt, f" {clean['c']}", foils[0], "", corrupted, foils=foils))
    return prompts
