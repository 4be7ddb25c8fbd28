"""Examples: what is to be read from rows, which rows belong together, and two falsified copies of it."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from workbench.core import ConfigError, ShapeError, child
from workbench.evaluation import Split

Array = np.ndarray


@dataclass(frozen=True)
class Examples:
    """The targets of some rows.

    Attributes:
        targets: class numbers, or real numbers where `classes` is empty.
        group: rows of one group never lie on both sides of a split.

    Raises:
        ShapeError: targets and groups of different lengths.
    """

    targets: Int[Array, " n"] | Float[Array, " n"]
    group: Int[Array, " n"]
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.targets) != len(self.group):
            raise ShapeError(f"{len(self.targets)} targets want as many groups", found=f"found {len(self.group)}")

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def regression(self) -> bool:
        return not self.classes

    @property
    def weights(self) -> Float[Array, " n"]:
        """What each row counts: all classes the same; with mean 1."""
        if self.regression:
            return np.ones(len(self))
        counts = np.bincount(self.targets, minlength=len(self.classes))
        return len(self) / (np.count_nonzero(counts) * counts[self.targets])

    def take(self, rows: Int[Array, " m"]) -> "Examples":
        return replace(self, targets=self.targets[rows], group=self.group[rows])

    def folds(self, count: int, seed: int) -> list[Split]:
        """Splits of which each tests other groups, and together all; classes keep their shares as far as groups let.

        Raises:
            ConfigError: too few groups.
        """
        found = len(np.unique(self.group))
        if found < count:
            raise ConfigError(
                f"{count} folds want at least {count} groups",
                found=f"found {found}",
                hint="fewer folds, more sources, or no column `group` if the texts are independent",
            )
        alone = found == len(self)  # far faster, and the same, where every row is a group
        if self.regression:
            kind = KFold if alone else GroupKFold
        else:
            kind = StratifiedKFold if alone else StratifiedGroupKFold
        made = kind(n_splits=count, shuffle=True, random_state=child(seed, "folds") % 2**32)
        return [Split(*parts) for parts in made.split(self.targets, self.targets, None if alone else self.group)]

    def shuffled(self, seed: int, *names: str | int) -> "Examples":
        """The same targets on other rows: of whole groups where each has one target, else of rows."""
        draw = np.random.default_rng(child(seed, "shuffled", *names))
        first, index = np.unique(self.group, return_index=True, return_inverse=True)[1:]
        of_group = self.targets[first]
        if len(first) < len(self) and (of_group[index] == self.targets).all():
            return replace(self, targets=draw.permutation(of_group)[index])
        return replace(self, targets=draw.permutation(self.targets))

    def control(self, types: Int[Array, " n"], seed: int) -> "Examples":
        """Hewitt and Liang's (2019) control task: each type (a token, say) is given a target drawn at random.

        Whoever knows the type of a row knows its control target; nothing else tells it. Every class occurs.
        """
        draw = np.random.default_rng(child(seed, "control"))
        kinds, index = np.unique(types, return_inverse=True)
        drawn = draw.choice(self.targets, len(kinds))
        if self.classes and len(kinds) >= len(self.classes):
            drawn[draw.permutation(len(kinds))[: len(self.classes)]] = np.arange(len(self.classes))
        return replace(self, targets=drawn[index])
