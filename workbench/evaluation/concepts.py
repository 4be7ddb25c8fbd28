"""Probing and absorption of a dictionary on a real model: which rows are captured, and how they are labelled."""

import string

import numpy as np
import torch

from workbench.core import ConfigError, Progress, Result, Silent, TextError, child
from workbench.data import PackedText
from workbench.dictionaries import Dictionary
from workbench.models import HookedModel

from .absorption import absorption
from .collect import capture_words, collect, label_rows
from .concept_config import AbsorptionConfig, ProbingConfig
from .matching import written_rows
from .sparse_probing import sparse_probing
from .token_labels import TOKEN_LABELS


def probe_text(
    model: HookedModel,
    dictionary: Dictionary,
    text: PackedText,
    config: ProbingConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """`sparse_probing` of labels that tokens decide (`TOKEN_LABELS`), on rows of a held-out text."""
    config, progress = config or ProbingConfig(), progress or Silent()
    progress.phase("probe", unit="sequences")
    rows = collect(model, dictionary, text, config.probe_rows, config.batch_sequences, progress)
    return sparse_probing(rows.codes, rows.activations, label_rows(rows, TOKEN_LABELS), rows.groups, config)


def letter_words(model: HookedModel, count: int, seed: int) -> list[tuple[int, str]]:
    """(token id, text) of alphabetic tokens that begin a word, drawn from the vocabulary.

    Raises:
        TextError: the tokenizer has fewer than 26 of them.
    """
    strings = model.tokenizer.strings(range(min(model.tokenizer.vocab_size, model.shape.d_vocab)))
    letters = set(string.ascii_letters)
    found = [
        (index, token.strip())
        for index, token in enumerate(strings)
        if token.startswith(" ") and len(token) > 2 and set(token[1:]) <= letters
    ]
    if len(found) < 26:
        raise TextError(
            "first letters need words as tokens", found=f"this tokenizer has {len(found)} alphabetic tokens"
        )
    draw = np.random.default_rng(child(seed, "first letters"))
    return [found[i] for i in sorted(draw.choice(len(found), min(count, len(found)), replace=False))]


def first_letter_absorption(
    model: HookedModel,
    dictionary: Dictionary,
    config: AbsorptionConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """`absorption` of first letters: rows at words behind a few solved examples (`word: w`, one a line).

    Raises:
        ConfigError: the dictionary writes elsewhere than it reads, so that its latents have no direction there.
        TextError: the tokenizer has too few words.
    """
    config, progress = config or AbsorptionConfig(), progress or Silent()
    if dictionary.reads != dictionary.writes:
        raise ConfigError(
            f"{dictionary.name or dictionary.family} writes {dictionary.writes[0]} and reads {dictionary.reads[0]}",
            hint="absorption compares decoder rows with a probe where the dictionary reads: take an autoencoder",
        )
    words = letter_words(model, config.words, config.seed)
    prompts = _prompts(model, words, config)
    progress.phase("capture words", total=len(words), unit="words")
    codes, rows = capture_words(model, dictionary, prompts, 4 * config.batch_sequences, progress)
    decoder = written_rows(dictionary).float().cpu().numpy()
    result = absorption(codes, rows, decoder, [word[0].lower() for _, word in words], config)
    for record in result.tables["absorbed"]:
        record["word"] = words[record["row"]][1]
    return result


def _prompts(model: HookedModel, words: list[tuple[int, str]], config: AbsorptionConfig) -> list[list[int]]:
    """BOS, some other words with their letters (where the tokenizer can spell), and the word, whose row is taken."""
    tokenizer = model.tokenizer
    begin = [tokenizer.bos_id] if model.policy.prepend_bos and tokenizer.bos_id is not None else []
    draw = torch.Generator().manual_seed(child(config.seed, "examples"))
    prompts = []
    for index, word in words:
        picked = torch.randperm(len(words), generator=draw)[: config.examples + 1].tolist()
        shown = [words[i] for i in picked if words[i][1] != word][: config.examples]
        lines = "".join(f" {other}: {other[0].upper()}\n" for _, other in shown)
        prompts.append([*begin, *_encoded(model, lines), index])
    return prompts


def _encoded(model: HookedModel, lines: str) -> list[int]:
    """The examples' tokens; none where the tokenizer knows whole words only and cannot spell a letter."""
    try:
        return model.tokenizer.encode(lines) if lines else []
    except TextError:
        return []
