"""Texts with a label each, from a table file or a built-in set, and what makes such a table easy to cheat on."""

import csv
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from workbench.core import ConfigError, Progress, Silent, TextError, child, get, names, nearest

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
_PREFIX = 40
_MOST_CLASSES = 50


@dataclass(frozen=True)
class LabelledTexts:
    """Texts to probe a model with.

    Attributes:
        targets: the number of each text's class, or its real number where `classes` is empty.
        group: texts of one group (a source) never lie on both sides of a split.
        grouped: whether the table named the groups; else equal texts are one.
        source: where they come from, with the licence.
    """

    texts: tuple[str, ...]
    targets: Int[np.ndarray, " n"] | Float[np.ndarray, " n"]
    group: Int[np.ndarray, " n"]
    classes: tuple[str, ...]
    grouped: bool = True
    source: str = ""

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, count: int | None, seed: int) -> "LabelledTexts":
        """At most so many texts, drawn so that classes keep their shares."""
        if count is None or count >= len(self):
            return self
        draw = np.random.default_rng(child(seed, "texts"))
        order = draw.permutation(len(self))
        if self.classes:  # every class gives the same share of its own shuffled texts
            place = np.empty(len(self))
            for number in range(len(self.classes)):
                here = order[self.targets[order] == number]
                place[here] = (np.arange(len(here)) + 0.5) / len(here)
            order = np.argsort(place, kind="stable")
        return self.part(np.sort(order[:count]))

    def part(self, places: Int[np.ndarray, " k"]) -> "LabelledTexts":
        """The texts at these places."""
        texts = tuple(self.texts[i] for i in places)
        return replace(self, texts=texts, targets=self.targets[places], group=self.group[places])

    def warnings(self) -> tuple[str, ...]:
        """What a probe could profit from without having learnt anything, one sentence each."""
        found = []
        if not self.grouped:
            found.append("The table has no column `group`: texts of one source may lie on both sides of a split.")
        across = _shared(self.texts, self.group)
        if across:
            found.append(f"{across} texts occur in more than one group.")
        prefixes = [" ".join(text.split())[:_PREFIX] for text in self.texts]
        alike = _shared(prefixes, self.group) if min(map(len, prefixes), default=0) >= _PREFIX else 0
        if alike > across:
            found.append(f"{alike} texts begin with {_PREFIX} characters that another group has, too.")
        if self.classes:
            found += self._class_warnings()
        return tuple(found)

    def _class_warnings(self) -> list[str]:
        found = []
        counts = np.bincount(self.targets, minlength=len(self.classes))
        if counts.max() > 3 * counts.min():
            most, least = (self.classes[int(place)] for place in (counts.argmax(), counts.argmin()))
            found.append(f"Unbalanced: {counts.max()} texts of {most!r}, {counts.min()} of {least!r}.")
        lengths = np.array([len(text) for text in self.texts])
        medians = [statistics.median(lengths[self.targets == number]) for number in range(len(self.classes))]
        if max(medians) > 1.5 * min(medians):
            found.append(
                f"Lengths differ: the classes' median texts have {min(medians):g} to {max(medians):g} characters."
            )
        for number, name in enumerate(self.classes):
            sources = len(np.unique(self.group[self.targets == number]))
            if sources < 5:
                found.append(f"Class {name!r} has {sources} group(s): what is told may be the source, not the class.")
        return found


def _shared(keys: Iterable[str], group: Int[np.ndarray, " n"]) -> int:
    """How many rows have a key that another group has, too."""
    owners: dict[str, set[int]] = {}
    keys = list(keys)
    for key, number in zip(keys, group.tolist(), strict=True):
        owners.setdefault(key, set()).add(number)
    return sum(len(owners[key]) > 1 for key in keys)


def labelled_texts(
    records: Iterable[tuple[str, str, str | None]], source: str = "", *, regression: bool | None = None
) -> LabelledTexts:
    """From (text, label, group or None); `regression` None: labels that are numbers, not all whole, are numbers.

    Raises:
        TextError: nothing to tell apart, too many classes, or labels that are no numbers where they should be.
    """
    rows = [(text, label.strip(), group) for text, label, group in records if text.strip()]
    labels = [label for _, label, _ in rows]
    numbers = _numbers(labels)
    if regression is None:
        regression = numbers is not None and any(not float(n).is_integer() for n in numbers)
    if regression and numbers is None:
        raise TextError("wanted a number as the label of each text", found=f"{_first_word(labels)!r}")
    classes = () if regression else tuple(sorted(set(labels)))
    kinds = len(set(labels))
    if kinds < 2:
        raise TextError("a probe needs texts with different labels", found=f"{len(rows)} texts, {kinds} label(s)")
    if len(classes) > _MOST_CLASSES:
        hint = "are the labels numbers? then ask for a regression"
        raise TextError(f"wanted at most {_MOST_CLASSES} classes", found=f"{len(classes)}", hint=hint)
    named = all(group for _, _, group in rows)
    keys = [group if named and group else text for text, _, group in rows]
    group = np.unique(np.array(keys, dtype=object).astype(str), return_inverse=True)[1]
    place = {name: number for number, name in enumerate(classes)}
    targets = np.array(numbers) if regression else np.array([place[label] for label in labels])
    return LabelledTexts(tuple(text for text, _, _ in rows), targets, group, classes, named, source)


def open_labelled(
    name: str | Path,
    *,
    regression: bool | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> LabelledTexts:
    """A built-in set by name, or a .csv, .tsv, .jsonl or .parquet file with columns `text`, `label` and maybe `group`.

    Raises:
        TextError: no such file, or one that lacks a column or has labels of one kind only.
        ConfigError: unknown name.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        if str(name) in names("labelled text"):
            make: Callable[[bool, Progress], LabelledTexts] = get("labelled text", str(name))
            return make(offline, progress or Silent())
        hint = f"a {', '.join(SUFFIXES)} file works too; {nearest(str(name), names('labelled text'))}"
        raise ConfigError(f"unknown labelled texts {str(name)!r}", hint=hint)
    if not path.is_file():
        raise TextError(f"no table at {path}", hint="check the path")
    return labelled_texts(map(_record(path), _read(path)), f"{path.name}, the user's", regression=regression)


def _record(path: Path) -> Callable[[tuple[int, dict[str, Any]]], tuple[str, str, str | None]]:
    def read(numbered: tuple[int, dict[str, Any]]) -> tuple[str, str, str | None]:
        number, row = numbered
        for column in ("text", "label"):
            if row.get(column) is None:
                raise TextError(
                    f"{path}, record {number} has no `{column}`", found=f"columns: {', '.join(map(str, row))}"
                )
        group = row.get("group")
        return str(row["text"]), str(row["label"]), None if group in (None, "") else str(group)

    return read


def _read(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    try:
        if path.suffix.lower() in (".csv", ".tsv"):
            with open(path, encoding="utf-8-sig", newline="") as file:
                csv.field_size_limit(10_000_000)
                yield from enumerate(csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","), 1)
        elif path.suffix.lower() == ".jsonl":
            with open(path, encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        row = json.loads(line)
                        if not isinstance(row, dict):
                            raise TextError(f"{path}, line {number}: wanted a record", found=type(row).__name__)
                        yield number, row
        else:
            import pyarrow.parquet as parquet

            yield from enumerate(parquet.read_table(path).to_pylist(), 1)
    except TextError:
        raise
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise TextError(f"cannot read the table {path}", found=str(error).splitlines()[0]) from None


def _numbers(labels: list[str]) -> list[float] | None:
    try:
        found = [float(label) for label in labels]
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def _first_word(labels: list[str]) -> str:
    return next((label for label in labels if _numbers([label]) is None), "")
