"""Rows with a class each, for classifiers: digits that ship with scikit-learn, and topics of Wikipedia articles."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import ConfigError, generator


@dataclass(frozen=True)
class LabelledRows:
    """Vectors with the class of each.

    Attributes:
        group: rows of one group (a document) never lie on both sides of a split.
        source: where they come from, with the licence.
    """

    rows: Float[Tensor, "n d"]
    label: Int[Tensor, " n"]
    group: Int[Tensor, " n"]
    classes: tuple[str, ...]
    source: str = ""

    def split(self, test_share: float, seed: int) -> tuple[Int[Tensor, " n"], Int[Tensor, " m"]]:
        """Rows to learn from and rows to test on: of each class whole groups, until the test has its share.

        Raises:
            ConfigError: a class has a single group.
        """
        test = torch.zeros(len(self.label), dtype=torch.bool)
        for number, name in enumerate(self.classes):
            here = self.label == number
            groups, counts = self.group[here].unique(return_counts=True)
            if len(groups) < 2:
                raise ConfigError(f"class {name!r} cannot be split", found=f"found {len(groups)} group(s)")
            order = torch.randperm(len(groups), generator=generator(seed, "split", number))
            before = counts[order].cumsum(0) - counts[order]
            wanted = order[: max(1, min(len(groups) - 1, int((before < test_share * here.sum()).sum())))]
            test |= here & torch.isin(self.group, groups[wanted])
        return (~test).nonzero()[:, 0], test.nonzero()[:, 0]


def digits() -> LabelledRows:
    """1,797 pictures of 8 x 8 pixels (0 to 16) of the ten digits; each is a group of its own."""
    from sklearn.datasets import load_digits

    pixels, target = (np.asarray(found) for found in load_digits(return_X_y=True))
    rows, label = torch.from_numpy(pixels).float(), torch.from_numpy(target).long()
    source = "digits of scikit-learn (test set of UCI's optical recognition of handwritten digits, CC BY 4.0)"
    return LabelledRows(rows, label, torch.arange(len(rows)), tuple(map(str, range(10))), source)


ARTICLE_TOPICS: dict[str, tuple[str, ...]] = {
    "country": ("Algeria", "Andorra", "Albania", "Azerbaijan", "Afghanistan", "Angola", "Aruba"),
    "state or province": ("Alabama", "Alaska", "Alberta"),
    "living things": ("Amphibian", "Algae", "Aardvark", "Aardwolf", "Actinopterygii", "Agnostida", "Anatomy"),
    "chemistry": ("Alkane", "Acid", "Alkali metal", "Asphalt", "Atomic number"),
    "space": ("Apollo 11", "Apollo 8", "Astronaut", "Amateur astronomy", "Astronomer"),
    "philosophy": ("Aristotle", "Arthur Schopenhauer", "Altruism", "Anarchism", "Affirming the consequent"),
    "literature": ("Animal Farm", "Aldous Huxley", "A Modest Proposal", "List of Atlas Shrugged characters"),
    "mathematics": ("Algorithm", "Analysis of variance", "Abacus", "Arithmetic mean", "ASCII"),
    "law": ("Appellate procedure in the United States", "Appellate court", "Arraignment", "Articles of Confederation"),
    "language": ("Afroasiatic languages", "Austroasiatic languages", "Alphabet", "A"),
}
"""Topic -> articles of `wikipedia-sample`, sorted by hand."""
