from workbench.models import load_model
from workbench.recipes import TinyConfig, train_tiny


def test_the_tiny_model_is_made_by_the_training_loop_and_comes_out_the_same_twice(tmp_path):
    config = TinyConfig(text="synthetic-sentences:200", passes=3)
    first = train_tiny(tmp_path / "a", config)
    second = train_tiny(tmp_path / "b", config)
    assert first == second
    assert first["loss"] < 3.3
    weights = [load_model(tmp_path / name).ref.weight_hash for name in "ab"]
    assert weights[0] == weights[1]
