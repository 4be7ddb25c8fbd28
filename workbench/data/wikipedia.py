"""`wikipedia-sample`: 2016 English Wikipedia articles that the gensim wheel ships as test data, as plain text."""

import bz2
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import mwparserfromhell
from mwparserfromhell.nodes import Tag, Wikilink

from workbench.core import Manifest, Progress, write_bytes
from workbench.workspace import WheelFile, build_once, cache_folder, fetch_wheel_file

from .corpus import Corpus, Document

NAME = "wikipedia-sample"
LICENCE = "CC BY-SA 3.0"
LICENCE_URL = "https://creativecommons.org/licenses/by-sa/3.0/"
SOURCE = WheelFile(
    package="gensim",
    version="4.4.0",
    member="gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
    sha256="a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d",
    size=1_695_871,
    wheel_size=27_809_988,
    platforms=("manylinux_2_28_x86_64", "manylinux_2_24_x86_64"),
)
_XML = "{http://www.mediawiki.org/xml/export-0.10/}"
_SILENT_TAGS = frozenset(
    {"ref", "gallery", "table", "timeline", "math", "references", "code", "source", "score", "imagemap"}
)
_SILENT_LINKS = ("file:", "image:", "category:", "media:")
_APPENDICES = frozenset(
    {"references", "external links", "see also", "further reading", "notes", "footnotes", "bibliography", "citations"}
    | {"sources", "notes and references", "references and notes", "works cited", "literature"}
)
_TEXT_VERSION = 1


def open_wikipedia(offline: bool, progress: Progress) -> Corpus:
    """The sample as a corpus; the first call fetches and strips it, later ones read the cached text.

    Raises:
        FetchError: it is not cached and cannot be fetched.
    """
    folder = cache_folder() / "text" / f"{NAME}-{_TEXT_VERSION}"
    artifact = build_once(folder, "text", lambda staging: _build(staging, offline, progress))
    return Corpus(
        name=NAME,
        hash=artifact.manifest.content_hash,
        read=lambda: _read(folder / "documents.jsonl"),
        licence=LICENCE,
        licence_url=LICENCE_URL,
        source="English Wikipedia, April 2016, shipped in the gensim 4.4.0 wheel; titles are the document ids",
    )


def _read(path: Path) -> Iterator[Document]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            yield record["id"], record["text"]


def _build(staging: Path, offline: bool, progress: Progress) -> Manifest:
    dump = fetch_wheel_file(
        SOURCE, cache_folder() / "downloads" / "wikipedia-sample.xml.bz2", offline=offline, progress=progress
    )
    progress.phase("strip wikitext", unit="article")
    lines, characters = [], 0
    for title, wikitext in _articles(dump):
        text = plain_text(wikitext)
        if len(text) >= 200:
            lines.append(json.dumps({"id": title, "text": text}, ensure_ascii=False))
            characters += len(text)
        progress.advance()
    write_bytes(staging / "documents.jsonl", ("\n".join(lines) + "\n").encode())
    details = {"version": _TEXT_VERSION, "documents": len(lines), "characters": characters}
    details |= {"licence": LICENCE, "licence_url": LICENCE_URL, "source_sha256": SOURCE.sha256}
    return Manifest(kind="text", name=NAME, details=details)


def _articles(dump: Path) -> Iterator[tuple[str, str]]:
    """(title, wikitext) of every article of the dump: no redirects, no talk or project pages."""
    with bz2.open(dump) as file:
        for _, page in ElementTree.iterparse(file):
            if page.tag != f"{_XML}page":
                continue
            text = page.findtext(f"{_XML}revision/{_XML}text")
            if page.findtext(f"{_XML}ns") == "0" and page.find(f"{_XML}redirect") is None and text:
                yield page.findtext(f"{_XML}title") or "", text
            page.clear()


def plain_text(wikitext: str) -> str:
    """Running text of an article: no markup, templates, tables, references, pictures or closing lists of links."""
    body = re.sub(
        r"<ref[^<>]*/>|<ref[^<>]*>.*?</ref>", "", _before_appendices(wikitext), flags=re.DOTALL | re.IGNORECASE
    )
    code = mwparserfromhell.parse(body)
    for node in code.filter(recursive=True, matches=lambda node: isinstance(node, (Tag, Wikilink))):
        silent = (
            str(node.tag).strip().lower() in _SILENT_TAGS
            if isinstance(node, Tag)
            else str(node.title).strip().lower().startswith(_SILENT_LINKS)
        )
        if silent:
            try:
                code.remove(node)
            except ValueError:
                continue  # it lay inside one that is gone already
    text = code.strip_code(normalize=True, collapse=True)
    text = re.sub(r"\([\s;,]+", "(", text)  # what templates left in brackets
    text = re.sub(r"[\s;,]+\)", ")", text).replace("()", "")
    text = re.sub(r"^ *([|!{].*|\[\[(File|Image):.*)$", "", text, flags=re.MULTILINE)  # left of broken tables
    text = re.sub(r"[ \t\u00a0]+", " ", text)
    text = re.sub(r"^ +", "", text, flags=re.MULTILINE)
    text = re.sub(r" +([,.;:])", r"\1", text)
    return re.sub(r" *\n\s*\n\s*", "\n\n", text).strip()


def _before_appendices(wikitext: str) -> str:
    """The article up to its references and link lists, which are no prose."""
    for match in re.finditer(r"^==\s*([^=].*?)\s*==\s*$", wikitext, flags=re.MULTILINE):
        if match[1].strip().lower() in _APPENDICES:
            return wikitext[: match.start()]
    return wikitext
