import itertools

import pytest
import torch

from workbench.core import ConfigError
from workbench.data import draw_sequences, token_names
from workbench.models.program import Choice, ProgramTransformer, closest
from workbench.models.program_config import ProgramConfig
from workbench.models.program_source import discretise, load_source, program_source

SMALL = ProgramConfig(
    vocabulary=6, length=6, classes=6, layers=2, categorical_heads=2, numerical_heads=2,
    categorical_mlps=1, numerical_mlps=1, hidden=8,
)  # fmt: skip


def program(seed=0, config=SMALL):
    torch.manual_seed(seed)
    return ProgramTransformer(config, padding=2)


def slow_closest(row, i):
    for j in sorted(range(len(row)), key=lambda j: (abs(j - i), j)):
        if row[j]:
            return j
    return 0


def test_the_closest_match_is_the_one_a_loop_finds():
    rows = torch.tensor(list(itertools.product([0.0, 1.0], repeat=5)))
    for i in range(5):
        matches = torch.zeros(len(rows), 1, 5, 5)
        matches[:, 0, i] = rows
        chosen = closest(matches)[:, 0, i]
        assert chosen.argmax(1).tolist() == [slow_closest(row, i) for row in rows.tolist()]
        assert set(chosen.flatten().tolist()) == {0.0, 1.0}


def test_coins_give_the_chance_of_each_position():
    matches = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    wanted = torch.zeros(4, 4, dtype=torch.float64)
    for i in range(4):
        for coins in itertools.product([0, 1], repeat=4):
            row = matches[0, 0, i]
            chance = torch.stack([row[j] if coin else 1 - row[j] for j, coin in enumerate(coins)]).prod()
            wanted[i, slow_closest(coins, i)] += chance
    torch.testing.assert_close(closest(matches)[0, 0], wanted)


def test_a_choice_without_a_temperature_is_the_likeliest():
    choice = Choice(3, 4)
    assert choice(None, 2).argmax(-1).tolist() == [choice.best.tolist()] * 2
    sampled = choice(0.5, 2)
    torch.testing.assert_close(sampled.sum(-1), torch.ones(2, 3))
    assert not torch.equal(sampled[0], sampled[1])


@pytest.mark.parametrize("seed", range(4))
def test_the_python_that_is_printed_answers_as_the_program_does(seed):
    discrete, names = discretise(program(seed)), token_names(letters=3)
    source = program_source(discrete, names, range(6), "A program that nobody trained.")
    data = draw_sequences("histogram", 60, seed, letters=3, longest=4)
    answers = discrete(data.ids).argmax(-1)
    for ids, row in zip(data.ids.tolist(), answers.tolist(), strict=True):
        tokens = [names[number] for number in ids if number != 2]
        assert load_source(source)(tokens) == row[: len(tokens)]


def test_padding_changes_nothing():
    discrete = discretise(program())
    data = draw_sequences("reverse", 30, 0, letters=3, longest=4)
    for ids, row in zip(data.ids, discrete(data.ids), strict=True):
        real = ids[ids != 2]
        torch.testing.assert_close(discrete(real[None])[0], row[: len(real)])


def test_every_choice_has_a_gradient():
    model = program()
    model.loss(draw_sequences("histogram", 40, 0, letters=3, longest=4), 0.0)["loss"].backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_sequences_are_what_their_task_says():
    data = draw_sequences("histogram", 50, 0, letters=3, longest=4)
    assert len({tuple(row) for row in data.ids.tolist()}) == 50
    for ids, targets in zip(data.ids.tolist(), data.targets.tolist(), strict=True):
        word = [token for token in ids if token > 2]
        assert targets[1 : len(word) + 1] == [word.count(token) for token in word]
        assert set(targets[:1] + targets[len(word) + 1 :]) == {-100}
    data = draw_sequences("reverse", 50, 0, letters=3, longest=4)
    for ids, targets in zip(data.ids.tolist(), data.targets.tolist(), strict=True):
        word = [token for token in ids if token > 2]
        assert targets[1 : len(word) + 1] == word[::-1]
    with pytest.raises(ConfigError, match="unknown task"):
        draw_sequences("sort", 5, 0)
    with pytest.raises(ConfigError, match="no 100 distinct"):
        draw_sequences("reverse", 100, 0, letters=2, longest=3)
