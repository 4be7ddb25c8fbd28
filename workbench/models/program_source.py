"""A trained Transformer Program as Python: plain functions over lists that anybody can read and run."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .program import ProgramTransformer, Tables

_HEAD = '''"""{title}"""


def matches(queries, keys, accepts):
    """For each query the positions of the keys that it accepts."""
    return [[j for j, key in enumerate(keys) if accepts[query] == key] for query in queries]


def count(found):
    return [len(places) for places in found]


def copy(found, values):
    """The value at the closest match (the left one of two), or at position 0 where nothing matches."""
    return [
        values[min(places, key=lambda j: (abs(j - i), j), default=0)] for i, places in enumerate(found)
    ]


def look_up(table, first, second):
    return [table.get(pair, table[None]) for pair in zip(first, second)]


def add(scores, votes):
    return [[a + b for a, b in zip(row, more)] for row, more in zip(scores, votes)]

'''


class Variable(NamedTuple):
    """A variable's name in the program, and what its values are called."""

    name: str
    values: tuple[Any, ...]


@torch.no_grad()
def discretise(program: ProgramTransformer, scale: int = 100) -> ProgramTransformer:
    """A copy in float64 whose readout is whole numbers (`scale` times the trained weights), as `program_source` prints.

    Sums of whole numbers are exact, so that two answers which tie do so in torch and in Python alike.
    """
    found = copy.deepcopy(program).double()
    for weight in (found.answer.weight, found.answer.bias):
        weight.copy_((weight * scale).round())
    return found


@torch.no_grad()
def program_source(program: ProgramTransformer, tokens: Sequence[str], classes: Sequence[Any], title: str) -> str:
    """Python source with `run(tokens)`: the class at every position of a list of tokens.

    Args:
        program: a discretised one (`discretise`); both give the same answer on every input.
    """
    config = program.config
    categorical = [Variable("tokens", tuple(tokens)), Variable("positions", tuple(range(config.length)))]
    numerical: list[Variable] = []
    lines = []
    for number, layer in enumerate(program.blocks()):
        copied, counted, looked_up = [], [], []
        for head in range(config.categorical_heads):
            query, key = (categorical[int(part.best[head])] for part in (layer.copy.query, layer.copy.key))
            value, name = categorical[int(layer.copy.value.best[head])], f"copy_{number}_{head}"
            lines += _head(name, query, key, layer.copy.accepts.best[head], f", {value.name})", "copy(")
            copied.append(Variable(name, value.values))
        for head in range(config.numerical_heads):
            query, key = (categorical[int(part.best[head])] for part in (layer.count.query, layer.count.key))
            name = f"count_{number}_{head}"
            lines += _head(name, query, key, layer.count.accepts.best[head], ")", "count(")
            counted.append(Variable(name, tuple(range(config.length + 1))))
        categorical, numerical = [*categorical, *copied], [*numerical, *counted]
        for kind, tables, read in (("table", layer.tables, categorical), ("counts", layer.count_tables, numerical)):
            for table in range(len(tables.shift)):
                name = f"{kind}_{number}_{table}"
                lines += _table(name, tables, table, read, config.values)
                looked_up.append(Variable(name, tuple(range(config.values))))
        categorical = [*categorical, *looked_up]
    answer = _answer(program.answer.weight, program.answer.bias, categorical, numerical, config.values, classes)
    body = "\n".join(f"    {line}" if line else "" for line in [*lines, *answer])
    return f"{_HEAD.format(title=title)}\ndef run(tokens):\n    positions = list(range(len(tokens)))\n{body}\n"


def load_source(source: str) -> Callable[[list[str]], list[Any]]:
    """The `run` of a program's source; for sources made here, which are run as they are."""
    scope: dict[str, Any] = {}
    exec(source, scope)
    return scope["run"]


def _head(name: str, query: Variable, key: Variable, accepts: Tensor, close: str, call: str) -> list[str]:
    table = {
        value: key.values[wanted] if (wanted := int(accepts[i])) < len(key.values) else None
        for i, value in enumerate(query.values)
    }
    return [f"accepts = {_written(table)}", f"{name} = {call}matches({query.name}, {key.name}, accepts){close}"]


def _table(name: str, tables: Tables, table: int, read: Sequence[Variable], values: int) -> list[str]:
    first, second = (read[int(part.best[table])] for part in (tables.first, tables.second))
    counted = tables.into.shape[1] == 2
    found = {}
    for i, a in enumerate(first.values):
        for j, b in enumerate(second.values):
            pair = torch.zeros(1, 1, len(tables.shift), tables.into.shape[1], dtype=torch.float64)
            if counted:
                pair[..., 0], pair[..., 1] = i, j
            else:
                pair[..., i], pair[..., values + j] = 1, 1
            found[a, b] = int(tables.answer(pair)[0, 0, table].argmax())
    usual = max(set(found.values()), key=list(found.values()).count)
    kept = {pair: value for pair, value in found.items() if value != usual}
    return [f"table = {_written({**kept, None: usual})}", f"{name} = look_up(table, {first.name}, {second.name})"]


def _answer(
    weight: Tensor,
    bias: Tensor,
    categorical: Sequence[Variable],
    numerical: Sequence[Variable],
    values: int,
    classes: Sequence[Any],
) -> list[str]:
    """Lines that add up what every variable says for every class, and take the best."""
    lines = ["", f"classes = {list(classes)!r}", f"scores = [{_whole(bias)!r}[:] for _ in tokens]"]
    for number, variable in enumerate(categorical):
        rows = map(_whole, weight[:, number * values : number * values + len(variable.values)].T)
        table = dict(zip(variable.values, rows, strict=True))
        lines += [f"votes = {_written(table)}", f"scores = add(scores, [votes[value] for value in {variable.name}])"]
    for number, variable in enumerate(numerical):
        slope = _whole(weight[:, len(categorical) * values + number])
        lines.append(f"scores = add(scores, [[number * slope for slope in {slope!r}] for number in {variable.name}])")
    return [*lines, "return [classes[row.index(max(row))] for row in scores]"]


def _whole(weights: Tensor) -> list[int]:
    return [int(weight) for weight in weights.tolist()]


def _written(table: Mapping[Any, Any]) -> str:
    return "{" + ", ".join(f"{key!r}: {value!r}" for key, value in table.items()) + "}"
