"""Released masks: pickles of boolean arrays are read, programs and other arrays refused."""

import os
import pickle

import numpy as np
import pytest

from workbench.core import ArtifactError
from workbench.exchange import read_weight_masks


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /nonexistent/never",)


def test_masks_come_back_with_the_models_name(tmp_path):
    draw = np.random.default_rng(0)
    masks = {
        "transformer.h.0.attn.c_attn.weight": draw.random((4, 12)) < 0.3,
        "transformer.h.0.mlp.c_fc.weight": np.asfortranarray(draw.random((4, 7)) < 0.3),
    }
    path = tmp_path / "subnetwork_dict_lambda1e1.pickle"
    path.write_bytes(pickle.dumps(masks | {"orig_model_name": "gpt2"}))
    found, model = read_weight_masks(path)
    assert model == "gpt2"
    assert set(found) == set(masks)
    assert all((found[name].numpy() == mask).all() for name, mask in masks.items())


@pytest.mark.parametrize("value", [Hostile(), np.ones(3), [np.ones(3, dtype=bool)]])
def test_anything_else_is_refused(tmp_path, value):
    path = tmp_path / "masks.pickle"
    path.write_bytes(pickle.dumps({"a.weight": value}))
    with pytest.raises(ArtifactError):
        read_weight_masks(path)
