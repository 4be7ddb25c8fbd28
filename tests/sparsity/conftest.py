"""Tiny random models and a text of seven short sequences from four documents."""

import pytest
import torch
from models.families import build_hooked

from workbench.core import TextRef
from workbench.data import PackedText
from workbench.models import HookedModel, character_tokenizer, new_relu_model, wrap


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return build_hooked("llama")[0]


@pytest.fixture(scope="module")
def relu() -> HookedModel:
    return wrap(new_relu_model(), character_tokenizer())


@pytest.fixture(scope="module")
def text() -> PackedText:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 50, (7, 12), generator=draw, dtype=torch.int32)
    ids[:, 0] = 1
    lengths = torch.tensor([12, 5, 12, 12, 2, 9, 12], dtype=torch.int32)
    document = torch.tensor([0, 0, 1, 2, 2, 3, 3], dtype=torch.int32)
    return PackedText(ids, lengths, document, list("abcd"), TextRef(id="random", hash="h", split="heldout"))
