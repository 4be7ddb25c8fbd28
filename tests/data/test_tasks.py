"""Tasks: prompts from seeds, and the measure of a model on them."""

import json
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch

from workbench.core import ConfigError, TextError, names
from workbench.data import PromptPair, Task, answer_scores, check_task, make_task
from workbench.data.task_words import MEN, WOMEN

from .word_tokens import Words


class Characters(Words):
    """Words that start with a space are one token; what follows without a space is read digit by digit."""

    def encode(self, text: str) -> list[int]:
        if text.isdigit():
            return [int(digit) for digit in text]
        return [i + 20 for i in super().encode(text)]


@pytest.mark.parametrize("name", ["indirect-object", "indirect-object-one-gender", "greater-than", "demo"])
def test_prompts_follow_their_seed(name):
    first, again, other = (make_task(name, Characters(), 5, seed) for seed in (0, 0, 1))
    assert first.prompts == again.prompts
    assert len(first.prompts) == 5
    assert name == "demo" or first.prompts != other.prompts
    assert name in names("task")


def test_indirect_object_prompts_name_the_giver_twice_and_the_receiver_once():
    for pair in make_task("indirect-object", Characters(), 40).prompts:
        receiver, giver = pair.target.strip(), pair.foil.strip()
        assert pair.target == f" {receiver}"
        words = pair.prompt.replace(",", "").replace(".", "").split()
        assert (words.count(receiver), words.count(giver)) == (1, 2)
        assert words[-1] == "to"


def test_one_gender_means_one_gender():
    for pair in make_task("indirect-object-one-gender", Characters(), 40).prompts:
        both = {pair.target.strip(), pair.foil.strip()}
        assert both <= set(WOMEN) or both <= set(MEN)
        assert pair.note == "names of one gender"


def test_greater_than_targets_lie_above_the_start():
    for pair in make_task("greater-than", Characters(), 40).prompts:
        start = int(pair.prompt.split("year ")[1][2])
        assert int(pair.foil) < start < int(pair.target)
        assert pair.prompt.endswith(pair.prompt.split("year ")[1][:2])


def test_only_names_that_are_single_tokens_are_used():
    every = " ".join(pair.prompt for pair in make_task("indirect-object", Characters(), 60).prompts).split()
    known = sorted({word for word in every if word not in MEN} - set(WOMEN) | {"Mary", "John"})
    tokenizer = Words([*known, "Mary", "John"])
    for pair in make_task("indirect-object", tokenizer, 10).prompts:
        assert {pair.target, pair.foil} == {" Mary", " John"}
    with pytest.raises(TextError, match="needs two names that are single tokens"):
        make_task("indirect-object", Words(["Mary", "went"]), 10)


def test_unknown_tasks_and_answers_of_several_tokens():
    with pytest.raises(ConfigError, match="unknown task 'indirect-objects'.* did you mean indirect-object"):
        make_task("indirect-objects", Words())
    task = Task("mine", (PromptPair("a b", " two words", " c"),))
    with pytest.raises(TextError, match="wanted the answer ' two words' as one token. it takes 2"):
        check_task(Oracle(Words(), {}), task)
    with pytest.raises(TextError, match="same token"):
        check_task(Oracle(Words(), {}), Task("mine", (PromptPair("a b", " c", " c"),)))


ALL = ["agreement", "capitals", "demo", "docstring", "greater-than", "indirect-object", "induction"]


@pytest.mark.parametrize("name", ALL)
def test_a_corrupted_prompt_is_as_long_and_another(name):
    task = make_task(name, Characters(), 12)
    for pair in task.prompts:
        if name == "demo":
            assert pair.corrupted == ""
            continue
        assert len(pair.corrupted.split()) == len(pair.prompt.split())
        assert pair.corrupted != pair.prompt
        assert pair.target in pair.right
        assert pair.foil in pair.wrong
        assert not set(pair.right) & set(pair.wrong)


def test_what_decides_the_answer_is_gone_from_the_corrupted_prompt():
    for pair in make_task("induction", Characters(), 20).prompts:
        words, others = pair.prompt.split(), pair.corrupted.split()
        row, again = words[:8], words[8:]
        assert row[: len(again)] == again
        assert pair.target == f" {row[len(again)]}"
        assert len(set(others)) == len(others)
    for pair in make_task("indirect-object", Characters(), 20).prompts:
        words = pair.corrupted.replace(",", "").replace(".", "").split()
        assert (words.count(pair.target.strip()), words.count(pair.foil.strip())) == (1, 1)
    for pair in make_task("docstring", Characters(), 20).prompts:
        names = pair.prompt.split("(self, ")[1].split(")")[0].split(", ")
        assert pair.target == f" {names[2]}"
        assert pair.prompt.count(f":param {names[1]}:") == 1
        assert not any(name in pair.corrupted for name in (f"{names[2]},", f":param {names[0]}"))
    for pair in make_task("agreement", Characters(), 20).prompts:
        assert pair.prompt.split()[2:] == pair.corrupted.split()[2:]


class Years(Words):
    """As GPT-2: a year is a token for its century and one for what follows."""

    def encode(self, text: str) -> list[int]:
        pieces = [piece for word in text.split() for piece in self._pieces(word)]
        return super().encode(" ".join(pieces))

    def _pieces(self, word: str) -> list[str]:
        return [word[:2], f"+{word[2:]}"] if len(word) == 4 and word.isdigit() else [self._bare(word)]

    def _bare(self, word: str) -> str:
        return f"+{word}" if len(word) == 2 and word.isdigit() and word not in ("16", "17", "18") else word


def test_years_of_two_tokens_are_asked_for_as_a_whole():
    for pair in make_task("greater-than", Years(), 20).prompts:
        start = pair.prompt.split("year ")[1][2:4]
        assert all(len(year) == 2 for year in (*pair.right, *pair.wrong))
        assert max(pair.wrong) == start < min(pair.right)
        assert pair.corrupted == pair.prompt.replace(
            f"{pair.prompt.split('year ')[1][:2]}{start}", pair.prompt[-2:] + "01", 1
        )
    for pair in make_task("greater-than", Characters(), 20).prompts:
        assert all(len(digit) == 1 for digit in (*pair.right, *pair.wrong))


def test_several_answers_are_scored_as_the_metric_says():
    tokenizer = Words(["a", "b", "c", "d"])
    pair = PromptPair("a", " a", " c", targets=(" a", " b"), foils=(" c",))
    last = torch.randn(1, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    chance = last[0].softmax(0)
    (logits,) = answer_scores(last, tokenizer, [pair])
    (probabilities,) = answer_scores(last, tokenizer, [pair], "probability difference")
    assert logits.item() == pytest.approx(float((last[0, 2] + last[0, 3]) / 2 - last[0, 4]))
    assert probabilities.item() == pytest.approx(float(chance[2] + chance[3] - chance[4]))
    assert torch.autograd.grad(logits, last)[0].abs().sum() > 0


def test_twins_of_unequal_length_are_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[[prompts]]\nprompt = "a b"\ncorrupted = "a b c"\ntarget = " x"\nfoil = " y"\n')
    with pytest.raises(TextError, match="wanted 'a b c' as long as 'a b'; 3 tokens, not 2"):
        make_task(path, Words())


def test_a_task_file_is_read_in_both_forms(tmp_path):
    toml, plain = tmp_path / "opposites.toml", tmp_path / "opposites.json"
    toml.write_text(
        'metric = "probability difference"\n'
        '[[prompts]]\nprompt = "a hot"\ncorrupted = "a big"\ntargets = [" cold", " cool"]\nfoil = " small"\n'
    )
    prompt = {"prompt": "a hot", "corrupted": "a big", "targets": [" cold", " cool"], "foil": " small"}
    plain.write_text(json.dumps({"metric": "probability difference", "prompts": [prompt]}))
    first, second = (make_task(path, Words()) for path in (toml, plain))
    assert first == second
    assert (first.name, first.metric) == ("opposites", "probability difference")
    assert first.prompts[0].target == " cold"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.toml", None, "no task file .*none.toml"),
        ("a.toml", "prompts = [", "is not valid TOML"),
        ("a.json", "{", "is not valid JSON"),
        ("a.json", "[1]", "its top level is a list"),
        ("a.toml", "prompts = []", "prompts: Tuple should have at least 1 item"),
        ("a.toml", '[[prompts]]\nprompt = "x"\ntarget = " y"', "a prompt needs foil or foils"),
        ("a.toml", '[[prompts]]\nprompt = "x"\ntarget = " y"\nfoil = " z"\nfoyl = 1', "unknown key 'prompts.0.foyl'"),
        ("a.toml", 'metric = "loss"\n[[prompts]]\nprompt = "x"\ntarget = " y"\nfoil = " z"', "metric: .*loss"),
    ],
)
def test_a_task_file_that_is_none_says_why(tmp_path, name, text, message):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        make_task(path, Words())


class Batch(NamedTuple):
    ids: torch.Tensor
    lengths: torch.Tensor


class Oracle:
    """A model that, at a prompt's last position, puts given logits on given tokens; garbage in the padding."""

    def __init__(self, tokenizer, answers: dict[str, dict[str, float]]) -> None:
        self.tokenizer, self.answers = tokenizer, answers
        self.ref = SimpleNamespace(weight_hash="oracle")
        self.sizes: list[int] = []

    def tokens(self, text):
        rows = [self.tokenizer.encode(prompt) for prompt in text]
        self.asked = list(text)
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for row, found in zip(ids, rows, strict=True):
            row[: len(found)] = torch.tensor(found)
        return Batch(ids, torch.tensor([len(row) for row in rows]))

    def run(self, tokens):
        self.sizes.append(len(tokens.ids))
        logits = torch.full((*tokens.ids.shape, 60), 9.0)
        for row, prompt in enumerate(self.asked):
            logits[row, tokens.lengths[row] - 1] = 0.0
            for word, value in self.answers.get(prompt, {}).items():
                logits[row, tokens.lengths[row] - 1, self.tokenizer.encode(word)[0]] = value
        return SimpleNamespace(logits=logits)


def test_a_model_is_measured_at_the_last_real_position():
    prompts = (PromptPair("a b c d", " x", " y"), PromptPair("a", " x", " y"), PromptPair("b c", " y", " x"))
    answers = {"a b c d": {" x": 3.0, " y": 1.0}, "a": {" x": 1.0, " y": 1.5}, "b c": {" y": 2.0, " x": 1.0, " z": 4.0}}
    model = Oracle(Words(), answers)
    result = check_task(model, Task("mine", prompts, seed=3), batch=2)
    assert model.sizes == [2, 1]
    assert [row["logit_difference"] for row in result.tables["prompts"]] == pytest.approx([2.0, -0.5, 1.0])
    assert result.scalars["accuracy"] == pytest.approx(2 / 3)
    assert result.scalars["mean_logit_difference"] == pytest.approx(2.5 / 3)
    assert result.scalars["top1"] == pytest.approx(1 / 3)
    weights = torch.zeros(60)
    weights[:2] = torch.tensor([3.0, 1.0])
    assert result.tables["prompts"][0]["target_probability"] == pytest.approx(float(weights.softmax(0)[0]))
    assert (result.kind, result.seed, result.inputs) == ("task", 3, {"model": "oracle"})


def test_a_model_that_cannot_do_a_task_is_told_so():
    prompts = tuple(PromptPair(f"a {i}", " x", " y", corrupted=f"b {i}") for i in range(4))
    able = {f"{letter} {i}": {" x": 2.0 if letter == "a" else 0.0} for i in range(4) for letter in "ab"}
    result = check_task(Oracle(Words(), able), Task("mine", prompts))
    assert result.scalars["solved"] == 1
    assert result.scalars["mean_corrupted_metric"] == 0
    assert len(result.notes) == 1
    result = check_task(Oracle(Words(), {}), Task("mine", prompts))
    assert result.scalars["solved"] == 0
    assert "this model cannot do mine: 0% of 4 prompts are right" in result.notes[1]
    indifferent = {f"{letter} {i}": {" x": 2.0} for i in range(4) for letter in "ab"}
    result = check_task(Oracle(Words(), indifferent), Task("mine", prompts))
    assert "do not corrupt this model's answers" in result.notes[1]


@pytest.mark.real
def test_the_real_model_solves_its_tasks(smollm2):
    for name in ALL:
        result = check_task(smollm2, make_task(name, smollm2.tokenizer, 8))
        assert result.scalars["solved"] == 1, name
        assert result.scalars["accuracy"] >= 0.75, name
        assert result.scalars["mean_logit_difference"] > 2, name
