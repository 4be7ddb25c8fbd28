"""The shipped tiny model can do what its documentation says."""

from itertools import permutations

from workbench.data import PromptPair, Task, check_task
from workbench.models import load_model


def test_it_names_the_other_person():
    model = load_model("tiny-sentences")
    pairs = permutations(("Alice", "Ben", "Clara", "David"), 2)
    prompts = [PromptPair(f"When {a} and {b} went to the park , {b} gave a book to", a, b) for a, b in pairs]
    scores = check_task(model, Task("tiny", tuple(prompts))).scalars
    assert scores["accuracy"] == 1.0
    assert scores["mean_logit_difference"] > 4
