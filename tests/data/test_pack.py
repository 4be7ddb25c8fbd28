"""Packing: windows of one document each, splits by document, the same tokens every time."""

import pytest
import torch
from hypothesis import given, strategies as st

from workbench.core import MaskPolicy, TextError
from workbench.data import Corpus, PackConfig, pack
from workbench.data.pack import is_heldout

from .word_tokens import Words

NO_BOS = MaskPolicy(prepend_bos=False, skip_first=0)


def corpus(lengths, hash: str = "") -> Corpus:
    """Documents of so many words, every word different."""
    documents = [(f"document {i}", " ".join(f"d{i}w{j}" for j in range(n))) for i, n in enumerate(lengths)]
    return Corpus("made", hash or f"{tuple(lengths)}", lambda: iter(documents), licence="CC0-1.0")


def reference(documents, room: int, head: list[int], minimum: int):
    """Windows one after another, in plain Python."""
    for name, tokens in documents:
        for start in range(0, len(tokens), room):
            window = tokens[start : start + room]
            if len(window) >= minimum:
                yield name, start, head + window


@given(
    lengths=st.lists(st.integers(0, 25), min_size=1, max_size=8),
    length=st.integers(3, 9),
    minimum=st.integers(1, 3),
    bos=st.booleans(),
)
def test_windows_against_plain_python(tmp_path_factory, lengths, length, minimum, bos):
    words, source = Words(), corpus(lengths)
    policy = MaskPolicy() if bos else NO_BOS
    head = [0] if bos else []
    tokenised = [(name, words.encode(text)) for name, text in source.documents()]
    wanted = list(reference(tokenised, length - len(head), head, minimum))
    config = PackConfig(sequence_length=length, min_tokens=minimum)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        if not wanted:
            with pytest.raises(TextError, match="made gives no sequence"):
                pack(source, words, config, policy)
            return
        text = pack(source, words, config, policy)
    assert text.ids.dtype == torch.int32
    assert text.ids.shape == (len(wanted), length)
    for row, (name, start, window) in enumerate(wanted):
        n = int(text.lengths[row])
        assert text.ids[row, :n].tolist() == window
        assert text.ids[row, n:].unique().tolist() in ([], [1])
        assert text.document_ids[text.document[row]] == name
        assert int(text.start[row]) == start
    assert text.n_tokens == sum(len(window) for *_, window in wanted)


def test_the_tokens_are_cached_by_what_decides_them():
    words, source = Words(hash="a"), corpus([40, 7])
    first = pack(source, words, PackConfig(sequence_length=8))
    assert words.calls == 1
    again = pack(source, words, PackConfig(sequence_length=8))
    assert words.calls == 1
    assert torch.equal(first.ids, again.ids)
    assert first.ref == again.ref
    pack(source, words, PackConfig(sequence_length=8, heldout_share=0.5))
    assert words.calls == 1
    pack(source, words, PackConfig(sequence_length=9))
    pack(source, words, PackConfig(sequence_length=8), NO_BOS)
    pack(corpus([40, 7], hash="other"), words, PackConfig(sequence_length=8))
    words.hash = "b"
    pack(source, words, PackConfig(sequence_length=8))
    assert words.calls == 5


def test_the_hash_tells_texts_apart():
    first = pack(corpus([20]), Words(), PackConfig(sequence_length=8))
    same = pack(corpus([20], hash="renamed"), Words(), PackConfig(sequence_length=8))
    other = pack(corpus([20, 3]), Words(), PackConfig(sequence_length=8))
    assert first.hash == same.hash != other.hash
    assert (first.ref.id, first.ref.licence, first.ref.split, first.ref.sequence_length) == (
        "made",
        "CC0-1.0",
        "all",
        8,
    )


def test_a_document_lies_on_one_side_only():
    text = pack(corpus([30] * 200), Words(), PackConfig(sequence_length=8, heldout_share=0.25))
    train, held = text.split("train"), text.split("heldout")
    assert not set(train.document.tolist()) & set(held.document.tolist())
    assert len(train) + len(held) == len(text)
    assert 0.15 < len(held) / len(text) < 0.35
    assert (train.ref.split, held.ref.split) == ("train", "heldout")
    assert len({text.hash, train.hash, held.hash}) == 3
    assert train.split("train") is train
    with pytest.raises(TextError, match="cannot take the part 'heldout' of train"):
        train.split("heldout")
    with pytest.raises(TextError, match="cannot take the part 'test' of all"):
        text.split("test")


def test_adding_documents_moves_none_to_the_other_side():
    config = PackConfig(sequence_length=8, heldout_share=0.3)
    few = pack(corpus([9] * 20), Words(), config).split("heldout")
    many = pack(corpus([9] * 40), Words(), config).split("heldout")
    assert set(few.document.tolist()) == {d for d in many.document.tolist() if d < 20}


def test_the_seed_moves_the_split():
    names = [f"document {i}" for i in range(100)]
    sides = [[is_heldout(name, PackConfig(seed=seed, heldout_share=0.5)) for name in names] for seed in (0, 0, 1)]
    assert sides[0] == sides[1] != sides[2]


def test_an_empty_part_says_what_to_do():
    text = pack(corpus([9]), Words(), PackConfig(sequence_length=8, heldout_share=0.0))
    with pytest.raises(TextError, match="the heldout part of made is empty. 1 document"):
        text.split("heldout")


def test_a_limit_takes_a_seeded_sample_of_all_documents():
    config = PackConfig(sequence_length=8, max_sequences=30)
    words = Words()
    text = pack(corpus([70] * 20), words, config)
    assert len(text) == 30
    assert len(set(text.document.tolist())) > 10
    assert text.document.tolist() == sorted(text.document.tolist())
    whole = pack(corpus([70] * 20), words, PackConfig(sequence_length=8))
    rows = {tuple(row) for row in whole.ids.tolist()}
    assert all(tuple(row) in rows for row in text.ids.tolist())
    other = pack(corpus([70] * 20), words, config.model_copy(update={"seed": 1}))
    assert other.hash != text.hash
    assert pack(corpus([70] * 20), words, PackConfig(sequence_length=8, max_documents=2)).document_ids == [
        "document 0",
        "document 1",
    ]


def test_the_mask_follows_policy_and_padding():
    text = pack(corpus([3]), Words(), PackConfig(sequence_length=6))
    assert text.mask(MaskPolicy()).tolist() == [[False, True, True, True, False, False]]
    second = int(text.ids[0, 2])
    assert text.mask(MaskPolicy(exclude_special=True), [second]).tolist() == [[False, True, False, True, False, False]]


def test_a_tokenizer_without_bos():
    text = pack(corpus([4]), Words(bos_id=None), PackConfig(sequence_length=4))
    assert text.lengths.tolist() == [4]
