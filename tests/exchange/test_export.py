"""Every format that is written: what is read back has the same tensors and outputs, bit for bit."""

import json
from dataclasses import fields

import pytest
import torch
import yaml
from exchange.foreign_files import jump, topk
from hypothesis import given, settings, strategies as st
from safetensors.torch import load_file

import workbench  # noqa: F401  (names the providers of the registry)
from workbench.core import ArtifactError, ConfigError, Manifest, ModelRef, Site, get
from workbench.dictionaries import Dictionary, DictionarySet, ImportedConfig, make_dictionary
from workbench.exchange import Source, export, read_foreign
from workbench.exchange.assemble import exact_log, weights_of

GATES = ("relu", "topk", "batchtopk", "jumprelu", "gated", "matryoshka")
SAES = [f"{gate}-sae" for gate in GATES]
HOLDS = {
    "saelens": [
        *SAES,
        "relu-transcoder",
        "jumprelu-transcoder",
        "batchtopk-transcoder",
        "relu-skip-transcoder",
        "jumprelu-skip-transcoder",
    ],
    "sparsify": ["topk-sae", "topk-transcoder", "topk-skip-transcoder"],
    "circuit-tracer": [
        f"{gate}-{shape}"
        for gate in ("relu", "topk", "batchtopk", "jumprelu", "matryoshka")
        for shape in ("transcoder", "skip-transcoder")
    ],
}
PAIRS = [(format, family) for format, families in HOLDS.items() for family in families]


def filled(dictionary: Dictionary, seed: int, dtype: torch.dtype = torch.float32) -> Dictionary:
    """Random weights of all sizes, thresholds among them."""
    draw = torch.Generator().manual_seed(seed)
    state = dictionary.state_dict()
    for name, tensor in state.items():
        values = torch.randn(tensor.shape, generator=draw, dtype=torch.float64)
        scale = torch.exp(3 * torch.randn((), generator=draw, dtype=torch.float64))
        state[name] = values.abs() if name.endswith("gate.threshold") else values if "gate" in name else values * scale
    dictionary.load_state_dict(state)
    return dictionary.to(dtype)


def made(family: str, d: int, out: int, f: int, k: int, seed: int, layer: int = 0, dtype=torch.float32) -> Dictionary:
    kind = get("dictionary", family)
    reads, writes = kind.default_sites(layer)
    config = kind.config_class.parse({"d_sae": f, **({"k": k} if "k" in kind.config_class.model_fields else {})})
    out = d if reads == writes else out
    return filled(make_dictionary(family, config, {reads[0]: d}, {writes[0]: out}), seed, dtype)


def assert_same(first: Dictionary, second: Dictionary, gates_too: bool = True) -> None:
    one, two = weights_of(first), weights_of(second)
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if isinstance(a, torch.Tensor):
            assert isinstance(b, torch.Tensor), field.name
            shape = torch.broadcast_shapes(a.shape, b.shape)
            assert torch.equal(a.expand(shape), b.expand(shape)), field.name
            assert a.dtype == b.dtype, field.name
    assert (first.reads, first.writes, first.sizes) == (second.reads, second.writes, second.sizes)
    draw = torch.Generator().manual_seed(5)
    rows = {site: torch.randn(30, first.sizes[site], generator=draw) for site in first.reads}
    with torch.no_grad():
        for site, value in first(rows).items():
            assert torch.equal(second(rows)[site], value), site
    if gates_too:
        assert first.family == second.family


sizes = st.integers(1, 9)


@pytest.mark.parametrize(("format", "family"), PAIRS)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(tmp_path_factory, format, family, data):
    d, out, f = data.draw(sizes), data.draw(sizes), data.draw(st.integers(2, 13))
    wide = [] if (format, family) == ("sparsify", "topk-sae") else [torch.float64]
    dtype = data.draw(st.sampled_from([torch.float32, *wide]))
    out = out if format == "saelens" else d
    first = made(family, d, out, f, data.draw(st.integers(1, f)), data.draw(st.integers(0, 10**6)), dtype=dtype)
    place = tmp_path_factory.mktemp("round")
    export(DictionarySet([first]), format, place / "out")
    (second,) = read_foreign(Source(place / "out"), format=format).values()
    gate = family.split("-")[0]
    keeps = gate in ("relu", "topk", "jumprelu", "gated") or format == "workbench"
    assert_same(first, second, gates_too=keeps)


@given(
    st.integers(0, 10**6), st.integers(2, 4), sizes, st.integers(2, 9), st.sampled_from(["topk", "jumprelu", "relu"])
)
@settings(max_examples=15)
def test_sets_of_layers(tmp_path_factory, seed, layers, d, f, gate):
    first = DictionarySet([made(f"{gate}-transcoder", d, d, f, 2, seed + i, layer=i) for i in range(layers)])
    for format in ("circuit-tracer", *(["sparsify"] if gate == "topk" else ["saelens"])):
        place = tmp_path_factory.mktemp("set")
        done = export(first, format, place / "out")
        assert done.sites == tuple(f"mlp_in.{i}" for i in range(layers))
        second = read_foreign(Source(place / "out"))
        assert len(second) == layers
        for layer in range(layers):
            assert_same(first.by_layer(layer), second.by_layer(layer))


@given(st.integers(0, 10**6), st.integers(1, 4), sizes, st.integers(2, 7), st.sampled_from(["jumprelu", "threshold"]))
@settings(max_examples=20)
def test_cross_layer_round_trip(tmp_path_factory, seed, layers, d, f, gate):
    kind = get("dictionary", "cross-layer-transcoder")
    reads, writes = kind.default_sites(*range(layers))
    config = kind.config_class(d_sae=f, k=1, gate=gate)
    first = filled(make_dictionary(kind.family, config, dict.fromkeys(reads, d), dict.fromkeys(writes, d)), seed)
    place = tmp_path_factory.mktemp("clt")
    export(DictionarySet([first]), "circuit-tracer-clt", place / "out")
    (second,) = read_foreign(Source(place / "out")).values()
    one, two = weights_of(first), weights_of(second)
    for name in ("W_enc", "b_enc", "b_dec", "thresholds"):
        assert all(torch.equal(a, b) for a, b in zip(getattr(one, name), getattr(two, name), strict=True)), name
    assert all(torch.equal(one.decoders[key], two.decoders[key]) for key in one.decoders)
    rows = {site: torch.randn(20, d, generator=torch.Generator().manual_seed(seed)) for site in reads}
    with torch.no_grad():
        for site, value in first(rows).items():
            assert torch.equal(second(rows)[site], value)


@given(st.data())
@settings(max_examples=25)
def test_special_coders_of_saelens(tmp_path_factory, data):
    """Normalised rows, gates without a ReLU."""
    gate = data.draw(st.sampled_from(["topk", "abs-topk", "threshold"]))
    norm = data.draw(st.sampled_from(["layer-norm", "constant-norm"] if gate != "abs-topk" else ["none", "layer-norm"]))
    config = ImportedConfig(d_sae=7, k=3, gate=gate, row_norm=norm, row_eps=1e-5 if norm == "layer-norm" else 0.0)
    site = Site("attn_z", 2)
    first = filled(make_dictionary("imported-coder", config, {site: 5}, {site: 5}), data.draw(st.integers(0, 10**6)))
    place = tmp_path_factory.mktemp("special")
    export(DictionarySet([first]), "saelens", place / "out")
    (second,) = read_foreign(Source(place / "out")).values()
    assert_same(first, second)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=15)
def test_groupmax_of_sparsify(tmp_path_factory, seed, skip):
    site = Site("mlp_out", 1)
    config = ImportedConfig(d_sae=12, k=4, gate="groupmax", skip=skip)
    first = filled(make_dictionary("imported-coder", config, {site: 5}, {site: 5}), seed)
    place = tmp_path_factory.mktemp("groupmax")
    export(DictionarySet([first]), "sparsify", place / "out")
    (second,) = read_foreign(Source(place / "out")).values()
    assert_same(first, second)


def test_a_bias_that_sparsify_rounds_is_said(tmp_path):
    """Theirs subtracts b_dec first; what undoes it is wider than the weights, and even that has an end."""
    coder = made("topk-sae", 6, 6, 20, 4, 3, dtype=torch.float64)
    done = export(DictionarySet([coder]), "sparsify", tmp_path / "out")
    assert "rounded" in done.notes[0]
    (again,) = read_foreign(Source(tmp_path / "out")).values()
    torch.testing.assert_close(again.b_enc, coder.b_enc, rtol=1e-10, atol=1e-10)


def test_what_is_written_is_what_the_other_library_reads(tmp_path):
    """The files by themselves, computed with the other library's formula."""
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    coder = made("topk-sae", 6, 6, 20, 4, 3)
    (wanted,) = coder({coder.reads[0]: x}).values()
    export(DictionarySet([coder]), "sparsify", tmp_path / "sparsify")
    place = tmp_path / "sparsify" / "layers.0"
    settings, t = json.loads((place / "cfg.json").read_text()), load_file(place / "sae.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in t.items()} == {
        "encoder.weight": (20, 6),
        "encoder.bias": (20,),
        "W_dec": (20, 6),
        "b_dec": (6,),
    }
    assert settings["transcode"] is False
    assert settings["num_latents"] == 20
    acts = topk(((x - t["b_dec"]) @ t["encoder.weight"].T + t["encoder.bias"].float()).relu(), settings["k"])
    torch.testing.assert_close(acts @ t["W_dec"] + t["b_dec"], wanted.detach(), rtol=1e-4, atol=1e-3)

    export(DictionarySet([coder]), "saelens", tmp_path / "saelens")
    settings = json.loads((tmp_path / "saelens" / "cfg.json").read_text())
    t = load_file(tmp_path / "saelens" / "sae_weights.safetensors")
    assert settings["metadata"]["sae_lens_version"].startswith("6.")
    assert settings["apply_b_dec_to_input"] is False
    acts = topk((x @ t["W_enc"] + t["b_enc"]), settings["k"]).relu()
    torch.testing.assert_close(acts @ t["W_dec"] + t["b_dec"], wanted.detach(), rtol=1e-4, atol=1e-3)

    coder = made("jumprelu-skip-transcoder", 6, 6, 20, 4, 4)
    (wanted,) = coder({coder.reads[0]: x}).values()
    export(DictionarySet([coder]), "circuit-tracer", tmp_path / "tracer")
    settings = yaml.safe_load((tmp_path / "tracer" / "config.yaml").read_text())
    assert settings["feature_input_hook"] == "mlp.hook_in"
    assert settings["feature_output_hook"] == "hook_mlp_out"
    t = load_file(tmp_path / "tracer" / "layer_0.safetensors")
    z = x @ t["W_enc"].T + t["b_enc"]
    y = jump(z, t["activation_function.threshold"]) @ t["W_dec"] + t["b_dec"] + x @ t["W_skip"].T
    torch.testing.assert_close(y, wanted.detach(), rtol=1e-4, atol=1e-3)


def test_a_topk_set_says_what_circuit_tracer_does_differently(tmp_path):
    done = export(DictionarySet([made("topk-transcoder", 5, 5, 9, 2, 0)]), "circuit-tracer", tmp_path / "out")
    assert "applies no ReLU" in done.notes[0]
    assert "k" not in load_file(tmp_path / "out" / "layer_0.safetensors")


@pytest.mark.parametrize(
    ("family", "format", "message"),
    [
        ("topk-transcoder", "saelens", "a transcoder with a topk gate"),
        ("relu-sae", "sparsify", "a relu gate"),
        ("gated-transcoder", "circuit-tracer", "a gated gate"),
        ("topk-sae", "circuit-tracer-clt", "dictionaries of single layers"),
        ("topk-sae", "goodfire", "cannot write the format 'goodfire'; formats written: "),
    ],
)
def test_what_a_format_cannot_hold_is_named(tmp_path, family, format, message):
    with pytest.raises((ArtifactError, ConfigError), match=message):
        export(DictionarySet([made(family, 5, 5, 9, 2, 0)]), format, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir()) == []


def test_other_refusals(tmp_path):
    reads, writes = get("dictionary", "affine").default_sites(0)
    affine = make_dictionary("affine", None, {reads[0]: 5}, {writes[0]: 5})
    for refused, format, message in (
        (made("topk-transcoder", 5, 4, 9, 2, 0), "sparsify", "an output of size 4 for an input of size 5"),
        (made("relu-transcoder", 5, 5, 9, 2, 0, layer=3), "circuit-tracer", "one for every layer from 0 on"),
        (affine, "saelens", "has no features"),
    ):
        with pytest.raises((ArtifactError, ConfigError), match=message):
            export(DictionarySet([refused]), format, tmp_path / "out")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    with pytest.raises(ArtifactError, match="is in use"):
        export(DictionarySet([made("relu-sae", 5, 5, 9, 2, 0)]), "saelens", tmp_path / "used")
    assert (tmp_path / "used" / "file").read_text() == "mine"


def test_licence_source_and_model_survive_a_round_trip(tmp_path):
    about = {"exchange": {"format": "openai", "source": "hf:someone/thing", "licence": "cc-by-nc-4.0", "files": {}}}
    manifest = Manifest(kind="dictionary set", model=ModelRef(id="gpt2", weight_hash=""), details=about)
    first = DictionarySet([made("relu-sae", 5, 5, 9, 2, 0)], "named", manifest)
    export(first, "saelens", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "hf:someone/thing" in card
    again = read_foreign(Source(tmp_path / "out"))
    assert again.manifest is not None
    assert again.manifest.details["exchange"]["licence"] == "cc-by-nc-4.0"
    assert again.manifest.model is not None
    assert again.manifest.model.id == "gpt2"


@given(st.lists(st.floats(2.0**-90, 2.0**90, width=32), min_size=1, max_size=8))
def test_logarithms_of_thresholds_are_exact_or_refused(values):
    threshold = torch.tensor(values)
    log = exact_log(threshold)
    assert log is None or torch.equal(log.exp(), threshold)
    assert exact_log(torch.tensor([1.0, 0.0])) is None
    assert exact_log(torch.randn(50, generator=torch.Generator().manual_seed(0)).exp().log().exp()) is not None
