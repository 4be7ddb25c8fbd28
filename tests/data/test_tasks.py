"""Tasks: prompts from seeds, and the measure of a model on them."""

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch

from workbench.core import ConfigError, TextError, names
from workbench.data import PromptPair, Task, check_task, make_task
from workbench.data.tasks import MEN, WOMEN

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


@pytest.mark.real
def test_the_real_model_solves_its_tasks(smollm2):
    for name, count in (("demo", 5), ("indirect-object", 10), ("indirect-object-one-gender", 10), ("greater-than", 6)):
        result = check_task(smollm2, make_task(name, smollm2.tokenizer, count))
        assert result.scalars["accuracy"] >= 0.9, name
        assert result.scalars["mean_logit_difference"] > 2, name
