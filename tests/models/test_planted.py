import random

import torch

from workbench.models.places import BEINGS, PLACES, QUESTIONS, answer
from workbench.models.planted import build_places

PLANTED = build_places()
NUMBER = {word: i for i, word in enumerate(PLANTED.vocabulary)}


def logits(text: str) -> torch.Tensor:
    ids = torch.tensor([[NUMBER[word] for word in text.split()]])
    return PLANTED.model(ids).logits[0, -1]


def test_every_place_and_question_is_answered_whatever_stands_around():
    draw = random.Random(0)
    for place in PLACES:
        for question in QUESTIONS:
            being = " ".join(draw.choice(BEINGS))
            for text in (
                f"<bos> the man from {' '.join(place)} saw a {being} and said the {question}",
                f"<bos> a {being} went to {' '.join(place)} and the {question}",
            ):
                scores = logits(text)
                assert int(scores.argmax()) == NUMBER[answer(*place, question)]
                assert scores.topk(2).values.diff().abs() > 4


def test_the_circuit_is_what_carries_the_answer():
    """Silencing the planted neuron takes the answer away; silencing the animal's neuron changes nothing."""
    text = "<bos> the man from north korea saw a big dog and said the capital"
    target, before = NUMBER[answer("north", "korea", "capital")], None
    for neuron in (None, 16, 0):  # none, the pair `big dog`, the pair `north korea`
        weight = PLANTED.model.transformer.h[0].mlp.c_proj.weight
        kept = weight.clone()
        if neuron is not None:
            weight[neuron] = 0
        score = logits(text)[target].item()
        weight.copy_(kept)
        if neuron is None:
            before = score
        elif neuron == 16:
            assert abs(score - before) < 1e-3
        else:
            assert score < before - 4


def test_directions_are_orthonormal_and_centred():
    directions = torch.stack(list(PLANTED.basis.values()))
    torch.testing.assert_close(directions @ directions.T, torch.eye(len(directions)), atol=1e-5, rtol=0)
    assert directions.sum(1).abs().max() < 1e-4
