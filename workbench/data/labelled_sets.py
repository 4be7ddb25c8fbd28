"""Built-in labelled texts: topics of encyclopaedia passages, and judgements whose words never repeat across groups."""

import re

from workbench.core import Progress, TextError, register

from .labelled import ARTICLE_TOPICS
from .labelled_text import LabelledTexts, labelled_texts
from .wikipedia import LICENCE, open_wikipedia

_PASSAGE = (200, 600)
_PASSAGES_PER_ARTICLE = 24

_GOOD = """
wonderful excellent superb delightful brilliant charming fantastic amazing beautiful perfect lovely impressive
marvellous splendid outstanding terrific pleasant enjoyable magnificent remarkable thrilling fascinating refreshing
inspiring elegant witty heartwarming gripping masterful dazzling graceful touching exquisite joyful clever"""
_BAD = """
terrible awful dreadful boring horrible disappointing dull miserable pathetic disgusting unpleasant annoying
tedious mediocre appalling atrocious ugly stupid clumsy painful bland lifeless ridiculous pointless sloppy tiresome
depressing frustrating unbearable shallow messy forgettable hideous incoherent insulting"""
_FRAMES = (
    "The film was {}",
    "I thought that the meal at the new restaurant was {}",
    "Everybody agreed that her second novel is {}",
    "After two hours we left, and the play had been {}",
    "The hotel room, as my brother said, looked {}",
    "What a {} concert that was last night",
)


@register("labelled text", "topics")
def topics(offline: bool, progress: Progress) -> LabelledTexts:
    """Passages of Wikipedia articles in ten topics that were sorted by hand; an article is a group."""
    documents = dict(open_wikipedia(offline, progress).documents())
    records = []
    for topic, titles in ARTICLE_TOPICS.items():
        for title in titles:
            if title not in documents:
                raise TextError(f"the encyclopaedia sample lacks {title!r}")
            records += [(text, topic, title) for text in _passages(documents[title])]
    return labelled_texts(records, f"English Wikipedia, April 2016 ({LICENCE})")


@register("labelled text", "sentiment")
def sentiment(offline: bool, progress: Progress) -> LabelledTexts:
    """Sentences that praise or damn by one adjective; an adjective is a group, so that no split shares one."""
    records = [
        (frame.format(word), label, word)
        for label, words in (("positive", _GOOD), ("negative", _BAD))
        for word in words.split()
        for frame in _FRAMES
    ]
    return labelled_texts(records, "made from lists of adjectives (CC0-1.0)")


def _passages(text: str) -> list[str]:
    """Paragraphs of a fit length, spread over the article; long ones are cut behind a sentence."""
    least, most = _PASSAGE
    found = []
    for paragraph in text.split("\n"):
        cut = paragraph.strip()
        if len(cut) > most:
            ends = [match.end() for match in re.finditer(r"[.!?](?=\s)", cut[:most])]
            cut = cut[: ends[-1]] if ends else ""
        if len(cut) >= least:
            found.append(cut)
    step = max(1, len(found) / _PASSAGES_PER_ARTICLE)
    return [found[int(i * step)] for i in range(min(len(found), _PASSAGES_PER_ARTICLE))]
