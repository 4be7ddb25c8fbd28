"""A model whose vocabulary is hostile, a workspace made with it, and what makes a page's words inert."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from streamlit.testing.v1 import AppTest

from workbench.core import Manifest, Silent, Site
from workbench.data import PackConfig, PackedText, open_text, pack
from workbench.dictionaries import CodebookConfig, CoderConfig, DictionarySet, make_dictionary
from workbench.features import ScanConfig, scan
from workbench.models import HookedModel, WordTokenizer, load_model
from workbench.models.places import vocabulary
from workbench.models.planted import build_places
from workbench.recipes import bench_of, new_codebooks, save_codebooks, scan_name, start_codes
from workbench.recipes.codebooks_config import CodebooksConfig
from workbench.workspace import Workspace

LONG = "x" * 100_000
WORDS = {
    "the": "</span><script>alert(1)</script>",
    "man": "<img/src=x/onerror=window.hacked=1>",
    "woman": "![a](javascript:alert(1))",
    "from": "\x07\x1b[31m",
    "north": "\u202egnp.exe",
    "korea": LONG,
    "saw": "[x](javascript:alert(1))",
    "said": ":material/home:",
    "and": "</script><script>window.hacked=1</script>",
    "big": "**`_~$\\frac$",
    "a": "'\"><svg/onload=window.hacked=1>",
    "capital": "{{7*7}}</textarea>",
    "dog": "<b>dog</b>",
}
PLANTED = "the man from north korea saw a big dog and said the capital"
PROMPT = " ".join(WORDS[word] for word in PLANTED.split())
"""Holds the long word too; without it: `SHORT`."""
SHORT = PROMPT.replace(f"{LONG} ", "")
NAME = "hostile"
HIDING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
MARKUP = re.compile(r"<\s*/?\s*(script|span|img|svg|b>|textarea)|\]\(\s*javascript", re.IGNORECASE)


LIVE = re.compile(r"<script>(alert|window)|<img/|<svg/|<b>dog|<i>\w|</textarea>")
"""Words of this vocabulary as a file would hold them that had not escaped them."""


def spoilt(word: str) -> str:
    """A word of the planted vocabulary as this one spells it: none is left without a mark."""
    return word if word == "<bos>" else WORDS.get(word, f"<i>{word}</i>")


def save_model(folder: Path) -> Path:
    """The planted model with the hostile vocabulary, as a folder that anybody might have sent."""
    build_places().model.save_pretrained(folder)
    WordTokenizer([spoilt(word) for word in vocabulary()]).save(folder)
    return folder


def fill(place: Workspace) -> HookedModel:
    """The model, transcoders and codebooks on it, and their scans of a text of its words."""
    model = load_model(str(save_model(place.folder("models") / NAME)))
    text = _text(place, model)
    coders = []
    for layer in (0, 1):
        read, write = Site("mlp_in", layer), Site("mlp_out", layer)
        coder = make_dictionary("topk-transcoder", CoderConfig(d_sae=12, k=3), {read: 256}, {write: 256})
        rows = model.capture(torch.tensor(text.ids[:4].tolist()), [read, write])
        coder.initialise({site: x.flatten(0, 1) for site, x in rows.items()}, 0)
        coder.name = f"mine/{read}"
        coders.append(coder)
    manifest = Manifest(kind="dictionary set", model=model.ref, mask=model.policy)
    DictionarySet(coders, "mine").save(place.path_of("dictionaries", "mine"), manifest)
    books = new_codebooks(model, ("mlp_out.1",), CodebookConfig(codes=8, k=2, initial="rows"), "books")
    start_codes(model, books, text, CodebooksConfig(start_sequences=8), Silent())
    save_codebooks(books, place.path_of("dictionaries", "books"), manifest)
    for name in ("mine", "books"):
        bench = bench_of(place, name, model)
        path = place.path_of("stores", scan_name(bench.dictionaries, model))
        scan(model, bench.dictionaries, text, path, ScanConfig(sequences=16))
    return model


def _text(place: Workspace, model: HookedModel) -> PackedText:
    path = place.path / "text.txt"
    lines = [" ".join(map(spoilt, text.split())) for _, text in open_text("synthetic-places:16").documents()]
    path.write_text("\n\n".join(lines), encoding="utf-8")
    return pack(open_text(str(path)), model.tokenizer, PackConfig(sequence_length=24), model.policy)


def check_inert(at: AppTest) -> None:
    """No text of the page that Markdown or HTML would read holds markup of ours, or marks that hide or reorder text."""
    for kind, field, text in _strings(at):
        told = f"{kind}.{field}: {text[:200]!r}"
        if kind == "html":
            assert not MARKUP.search(text), told
            continue
        if field == "spec":
            assert not MARKUP.search(text.replace("<b>", "")), told
            continue
        bare = without_code(text)
        assert not MARKUP.search(bare), told
        assert not re.search(r"<i>|\$.*frac|:material/home:", bare), told
        assert not HIDING.search(text), told


def without_code(markdown: str) -> str:
    """What Markdown would read as markup: without code, and without what is escaped."""
    without = re.sub(r"(?ms)^```.*?^```|^ {4}[^\n]*$", "", markdown)
    return re.sub(r"\\.|(`+)(?!`)(?:(?!\n\n).)*?(?<!`)\1(?!`)", "", without, flags=re.DOTALL)


PLAIN = ("code", "text", "arrow_data_frame", "text_input", "text_area", "component", "bidi_component", "exception")
"""Elements that show their text as it is."""


def _strings(at: AppTest) -> Iterator[tuple[str, str, str]]:
    for element in at._tree:
        proto: Any = getattr(element, "proto", None)
        kind = str(getattr(element, "type", ""))
        if proto is None or not hasattr(proto, "DESCRIPTOR") or kind in PLAIN:
            continue
        for field in ("body", "label", "help", "spec", "caption"):
            text = getattr(proto, field, None)
            if isinstance(text, str) and text:
                yield kind, field, text
