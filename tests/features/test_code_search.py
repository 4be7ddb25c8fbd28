import re
import weakref
from collections import Counter

import pytest
import torch

from workbench.core import ConfigError, Edit, MaskPolicy, Site, Unit
from workbench.data import PackConfig, open_text, pack
from workbench.dictionaries import Codebook, CodebookConfig, DictionarySet
from workbench.features import (
    CodeSearchConfig,
    ScanConfig,
    code_contexts,
    code_lift,
    code_relations,
    code_use,
    scan,
    scanned_relations,
    search_codes,
    stream_codes,
    topic_codes,
)
from workbench.features.code_stream import count_codes
from workbench.models import TokenBatch, load_model

CODES, GROUPS, K = 24, 4, 2
SITES = (Site("mlp_out", 0), Site("resid_post", 1))


@pytest.fixture(scope="module")
def subject():
    """The planted model with untrained codebooks at two sites, and its text."""
    model = load_model("planted-places")
    text = pack(open_text("synthetic-places:120"), model.tokenizer, PackConfig(sequence_length=24), MaskPolicy())
    books = {}
    for seed, site in enumerate(SITES):
        size = {site: model.shape.row_size(site)}
        book = Codebook(CodebookConfig(codes=CODES, groups=GROUPS, k=K, initial="rows"), size, size, f"t/{site}")
        rows = model.capture(TokenBatch(text.ids[:40].long(), text.lengths[:40].long()), [site])[site]
        book.initialise_in_model(rows.flatten(0, 1), seed)
        books[str(site)] = book
    return model, text.take(torch.arange(40)), DictionarySet(books, "t")


def codes_in_the_model(model, text, books) -> dict[str, torch.Tensor]:
    """One sequence at a time, without batches or padding: [s][t, k] as a list for each member."""
    found = {name: [] for name in books}
    for ids, length in zip(text.ids, text.lengths.tolist(), strict=True):
        run = model.run(ids[None, :length].long(), [Edit.through(book) for book in books.values()])
        for name, book in books.items():
            found[name].append(run.codes[book.name].index)
    return found


def test_precision_and_recall_against_a_slow_count(subject):
    model, text, books = subject
    pattern = r" from (\w+) "
    config = CodeSearchConfig(least_count=1, rows=10_000, batch_sequences=7, tokens="all", least_recall=0)
    result = search_codes(model, books, text, pattern, config)
    codes = codes_in_the_model(model, text, books)
    mask = text.mask(model.policy, tuple(model.tokenizer.special_ids))
    active, hits, targets = {}, {}, 0
    for s in range(len(text)):
        strings = model.tokenizer.strings(text.ids[s, : int(text.lengths[s])].tolist())
        whole = "".join(strings)
        marked = {n for match in re.finditer(pattern, whole) for n in range(*match.span(1))}
        place = 0
        for t, string in enumerate(strings):
            target = bool(marked & set(range(place, place + len(string))))
            place += len(string)
            if not mask[s, t]:
                continue
            targets += target
            for name in books:
                for code in set(codes[name][s][t].tolist()):
                    active[name, code] = active.get((name, code), 0) + 1
                    hits[name, code] = hits.get((name, code), 0) + target
    assert targets == result.scalars["targets"] > 0
    rows = {(row["member"], row["code"]): row for row in result.tables["codes"]}
    assert set(rows) == {key for key, count in hits.items() if count}
    for key, row in rows.items():
        assert (row["count"], row["hits"]) == (active[key], hits[key])
        assert row["precision"] == pytest.approx(hits[key] / active[key])
        assert row["recall"] == pytest.approx(hits[key] / targets)
        assert row["group"] == key[1] // CODES
    scores = [row["f1"] for row in result.tables["codes"]]
    assert scores == sorted(scores, reverse=True)


def test_the_best_neuron_against_every_threshold(subject):
    model, text, books = subject
    pattern, text = r" from (\w+) ", text.take(torch.arange(12))
    config = CodeSearchConfig(least_count=1, neurons=3, batch_sequences=5)
    rows = search_codes(model, books, text, pattern, config).tables["codes"]
    sites = [Site(kind, layer) for layer in range(model.shape.n_layers) for kind in ("attn_z", "mlp_out")]
    mask = text.mask(model.policy, tuple(model.tokenizer.special_ids))
    values, marked = {}, []
    for s, (ids, length) in enumerate(zip(text.ids, text.lengths.tolist(), strict=True)):
        found = model.run(ids[None, :length].long(), sites=sites).activations
        strings = model.tokenizer.strings(ids[:length].tolist())
        ends = [len("".join(strings[: t + 1])) for t in range(length)]
        targets = {match.end(1) for match in re.finditer(pattern, "".join(strings))}
        for t in range(length):
            if mask[s, t]:
                marked.append(ends[t] in targets)
                for site in sites:
                    values.setdefault(site, []).append(found[site][0, t].flatten())
    marked = torch.tensor(marked)
    for row in rows[:3]:
        hits, best = max(1, round(row["recall"] * int(marked.sum()))), {}
        for site in sites:
            for n, column in enumerate(torch.stack(values[site]).T):
                threshold = column[marked].sort(descending=True).values[hits - 1]
                best[f"{site}.n{n}"] = min(1.0, hits / int((column >= threshold).sum()))
        assert row["neuron_precision"] == pytest.approx(max(best.values()), rel=0.05)
        assert best[row["neuron"]] == pytest.approx(max(best.values()), rel=0.05)
    assert all("neuron" not in row for row in rows[3:])


def test_which_tokens_of_a_group_are_targets(subject):
    model, text, books = subject
    counts = {}
    for tokens in ("first", "last", "all"):
        config = CodeSearchConfig(tokens=tokens, sequences=20)
        counts[tokens] = search_codes(model, books, text, r"the (man from \w+)", config).scalars["targets"]
    assert counts["first"] == counts["last"] > 0
    assert counts["all"] == 3 * counts["first"]


def test_a_planted_topic_code_comes_first(subject):
    """A book whose codes are rows of one token each: the token of a word is the code of the windows that hold it."""
    model, text, _ = subject
    site = Site("embed")
    embedded = model.params()["embed.W_E"]
    config = CodebookConfig(codes=len(embedded), groups=1, k=1, similarity="euclidean", layer_norm=False)
    book = Codebook(config, {site: embedded.shape[1]}, {site: embedded.shape[1]}, "t/embed")
    with torch.no_grad():
        book.book.copy_(embedded)
    books = DictionarySet({"embed": book}, "t")
    (word,) = model.tokenizer.encode("korea")
    settings = CodeSearchConfig(least_count=1)
    (best, *_) = topic_codes(model, books, text, {"korea": "korea"}, settings).tables["codes"]
    assert best["code"] == word
    assert best["elsewhere"] == 0
    (best, *_) = search_codes(model, books, text, r" (korea)\b", settings).tables["codes"]
    assert (best["code"], best["precision"], best["recall"]) == (word, 1.0, 1.0)
    unit = Unit.parse(best["unit"])
    found = code_relations(model, books, text, [unit], settings).tables["relations"]
    before = {row["other"]: row for row in found if row["relation"] == "before"}
    ids, lengths, mask = text.ids, text.lengths, text.mask(model.policy, tuple(model.tokenizer.special_ids))
    pairs: dict[int, int] = {}
    for s in range(len(text)):
        for t in range(1, int(lengths[s])):
            if ids[s, t] == word and mask[s, t] and mask[s, t - 1]:
                pairs[int(ids[s, t - 1])] = pairs.get(int(ids[s, t - 1]), 0) + 1
    assert {Unit.parse(other).index: row["count"] for other, row in before.items()} == pairs
    assert not [row for row in found if row["relation"] == "with"]


def test_codes_outside_the_model_are_those_of_the_plain_run(subject):
    model, text, books = subject
    (batch,) = stream_codes(model, books, text, CodeSearchConfig(spliced=False, sequences=5))
    x = model.capture(batch.tokens, [SITES[1]])[SITES[1]]
    index = books[str(SITES[1])].encode({SITES[1]: x.flatten(0, 1)}).index.view(*batch.mask.shape, -1)
    assert torch.equal(batch.codes[str(SITES[1])][batch.mask], index[batch.mask])
    assert (batch.codes[str(SITES[1])][~batch.mask] == -1).all()


def test_nothing_is_kept_of_a_batch_that_went_by(subject):
    model, text, books = subject
    alive = []
    for batch in stream_codes(model, books, text, CodeSearchConfig(batch_sequences=6)):
        assert sum(reference() is not None for reference in alive) == 0
        alive.append(weakref.ref(next(iter(batch.codes.values()))))
        del batch
    assert len(alive) == 7


def test_a_code_twice_in_a_row_counts_once():
    index = torch.tensor([[3, 3, -1], [0, 3, 1]])
    assert count_codes(index, 5).tolist() == [1, 1, 0, 2, 0]


def test_refusals_say_what_is_wanted(subject):
    model, text, books = subject
    with pytest.raises(ConfigError, match="is no regular expression"):
        search_codes(model, books, text, "(")
    with pytest.raises(ConfigError, match="one capture group"):
        search_codes(model, books, text, "man")
    with pytest.raises(ConfigError, match="marks no token"):
        search_codes(model, books, text, "(zebra)", CodeSearchConfig(sequences=5))
    with pytest.raises(ConfigError, match="matches 0 of 5 windows"):
        topic_codes(model, books, text, {"z": "zebra"}, CodeSearchConfig(sequences=5))
    with pytest.raises(ConfigError, match="no dictionary of t has the code"):
        code_relations(model, books, text, [Unit("code", "t", SITES[0], CODES * GROUPS)])


@pytest.fixture(scope="module")
def scanned(subject, tmp_path_factory):
    model, text, books = subject
    return scan(model, books, text, tmp_path_factory.mktemp("scan") / "s", ScanConfig(batch_sequences=9))


@pytest.fixture(scope="module")
def streamed(subject):
    """The same batches as the scan's: some rows of the planted model are zero but for rounding."""
    model, text, books = subject
    return list(stream_codes(model, books, text, CodeSearchConfig(batch_sequences=9)))


def test_a_scan_reads_codes_while_all_books_stand_in_the_model(subject, scanned, streamed):
    for name, book in subject[2].items():
        wanted = sum(count_codes(batch.codes[name][batch.mask], book.width) for batch in streamed)
        assert scanned.statistic("count", name).tolist() == wanted.tolist()


def test_what_a_scan_says_of_codes_against_a_slow_count(subject, scanned, streamed):
    model, _, books = subject
    name, book = next(iter(books.items()))
    used = code_use(model, books, scanned, name)
    row = used.tables["codes"][3]
    number = row["group"] * CODES + row["code"]
    assert Unit.parse(row["unit"]).index == number
    at, before = Counter(), Counter()
    for batch in streamed:
        for s, t in batch.mask.nonzero().tolist():
            if number in batch.codes[name][s, t].tolist():
                at[int(batch.tokens.ids[s, t])] += 1
                before[int(batch.tokens.ids[s, t - 1])] += 1
    assert (row["count"], row["top_share"]) == (at.total(), pytest.approx(max(at.values()) / at.total()))
    shares = torch.tensor(list(at.values())) / at.total()
    assert row["entropy"] == pytest.approx(float(-(shares * shares.log2()).sum()), abs=1e-4)
    assert row["tokens"][0] == model.tokenizer.strings([at.most_common(1)[0][0]])[0]
    dead = sum(group["dead"] for group in used.tables["groups"])
    assert dead == book.width - len(used.tables["codes"]) == book.width - used.scalars["used"]
    contexts = code_contexts(model, scanned, Unit.parse(row["unit"]), rows=1000).tables["tokens"]
    for place, counts in (("at", at), ("before", before)):
        found = sorted(r["count"] for r in contexts if r["place"] == place)
        assert found == sorted(counts.values())


def test_pairs_of_a_scan_are_those_of_the_text(subject, scanned):
    model, text, books = subject
    names = list(books)
    units = [Unit.parse(row["unit"]) for row in code_use(model, books, scanned, names[0]).tables["codes"][:12]]
    config = CodeSearchConfig(rows=10_000, batch_sequences=9)
    fresh = code_relations(model, books, text, units, config).tables["relations"]
    assert scanned_relations(model, books, scanned, units, config).tables["relations"] == fresh
    lifts = code_lift(model, books, scanned, *names, size=CODES * GROUPS).tables["pairs"]
    pairs = {(row["first"], row["second"]): row for row in lifts}
    together = [row for row in fresh if row["relation"] == "with" and Unit.parse(row["other"]).site == SITES[1]]
    assert together
    for row in together:
        pair = pairs[row["unit"], row["other"]]
        assert pair["count"] == row["count"]
        assert pair["lift"] == pytest.approx(row["lift"], rel=1e-4)
