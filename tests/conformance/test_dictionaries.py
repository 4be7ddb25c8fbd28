"""What every registered dictionary promises, whatever its kind."""

import pytest
import torch
from models.families import build_hooked, random_ids
from torch import Tensor
from training.planted_rows import MemoryRows, planted_pair

from workbench.core import ArtifactError, Codes, Config, ConfigError, Edit, Silent, Site, get, names
from workbench.dictionaries import Dictionary, DictionarySet, Scale, load_dictionary, make_dictionary
from workbench.training import TrainConfig, fit

D, LAYERS = 16, (1, 2, 3)
SMALL = {"d_sae": 48, "k": 4, "l1": 0.02, "heads": 8, "keys": 16, "key_size": 4}
PARTICULAR = {"codebook": {"codes": 24, "groups": 2, "initial": "rows"}, "key-value": {"pool": "sum"}}


def small_config(kind: type[Dictionary]) -> Config:
    fields = kind.config_class.model_fields
    values = {key: value for key, value in SMALL.items() if key in fields}
    return kind.config_class.parse(values | PARTICULAR.get(kind.family, {}))


def data_for(dictionary: Dictionary, rows: int = 400, seed: int = 0) -> dict[Site, Tensor]:
    """Rows of a planted sparse problem at every site; a kind that writes where it reads gets the same rows."""
    x, y = planted_pair(rows, D, 32, 3, seed)
    data = dict.fromkeys(dictionary.reads, x)
    return data | {site: y for site in dictionary.writes if site not in data}


def sites_of(kind: type[Dictionary], *layers: int) -> tuple[dict[Site, int], dict[Site, int]]:
    """The sites of a kind, with sizes: of all these layers if it spans layers, else of the first."""
    reads, writes = kind.default_sites(*(layers if kind.spans_layers else layers[:1]))
    return dict.fromkeys(reads, D), dict.fromkeys(writes, D)


@pytest.fixture(params=names("dictionary"))
def kind(request) -> type[Dictionary]:
    return get("dictionary", request.param)


@pytest.fixture
def dictionary(kind) -> Dictionary:
    return new(kind)


def new(kind: type[Dictionary], seed: int = 0) -> Dictionary:
    made = make_dictionary(kind.family, small_config(kind), *sites_of(kind, *LAYERS), name="test/one")
    made.initialise(data_for(made), seed)
    return made


def test_name_and_settings(kind):
    assert get("dictionary", kind.family) is kind
    assert kind.config_class() == kind.config_class.parse({})
    assert kind.__doc__
    assert "=" in kind.__doc__, "a kind states its equation"
    with pytest.raises(ConfigError, match="unknown key 'widht'"):
        kind.config_class.parse({"widht": 3})


def test_shapes_and_codes_within_width(dictionary):
    data = data_for(dictionary)
    codes = dictionary.encode(data)
    assert len(codes) == 400
    assert codes.width == dictionary.width
    assert not codes.index.numel() or 0 <= int(codes.index.min()) <= int(codes.index.max()) < dictionary.width
    decoded, passed, whole = dictionary.decode(codes), dictionary.bypass(data), dictionary(data)
    assert set(decoded) == set(passed) == set(whole) == set(dictionary.writes)
    for site in dictionary.writes:
        assert decoded[site].shape == passed[site].shape == (400, D)
        torch.testing.assert_close(whole[site], decoded[site] + passed[site])


def test_decode_is_affine_in_the_values(dictionary):
    dictionary.double()
    codes = dictionary.encode(data_for(dictionary)).padded()
    other = codes.map_values(lambda index, value: torch.cos(index + value))
    zero = codes.map_values(lambda index, value: torch.zeros_like(value))
    mixed = codes.map_values(lambda index, value: 0.3 * value + 0.7 * torch.cos(index + value))
    first, second, bias, both = (dictionary.decode(c) for c in (codes, other, zero, mixed))
    for site in dictionary.writes:
        torch.testing.assert_close(both[site], 0.3 * first[site] + 0.7 * second[site])
        torch.testing.assert_close(bias[site], bias[site][:1].expand_as(bias[site]), rtol=0, atol=0)
        dense = zero.dense() if codes.width == 0 else codes.dense()
        index = torch.arange(codes.width)
        torch.testing.assert_close(first[site], bias[site] + dense @ dictionary.writers(index)[site])


def test_ragged_codes_decode_as_padded_ones(dictionary):
    dictionary.double()
    padded = dictionary.encode(data_for(dictionary, rows=60)).padded()
    active = padded.value != 0
    ends = torch.cat([torch.zeros(1, dtype=torch.long), active.sum(1).cumsum(0)])
    ragged = Codes(padded.index[active], padded.value[active], padded.width, ends)
    found, wanted = dictionary.decode(ragged), dictionary.decode(padded)
    for site in dictionary.writes:
        torch.testing.assert_close(found[site], wanted[site])


def test_each_row_is_encoded_by_itself(dictionary):
    dictionary.double()
    data, some = data_for(dictionary, rows=60), torch.tensor([3, 50, 7, 7, 0])
    whole = dictionary.encode(data).dense()
    torch.testing.assert_close(dictionary.encode({site: x[some] for site, x in data.items()}).dense(), whole[some])
    assert torch.equal(dictionary.encode(data).dense(), whole)


def test_encoding_costs_no_training_state(dictionary):
    before = {name: tensor.clone() for name, tensor in (*dictionary.state_dict().items(), *dictionary.named_buffers())}
    dictionary.encode(data_for(dictionary))
    for name, tensor in (*dictionary.state_dict().items(), *dictionary.named_buffers()):
        assert torch.equal(tensor, before[name]), name


def test_a_site_at_a_time_is_the_whole_reconstruction(dictionary):
    dictionary.double()
    data = data_for(dictionary, rows=60)
    codes, whole = dictionary.encode(data), dictionary(data)
    for site in dictionary.writes:
        torch.testing.assert_close(dictionary.reconstruct_at(codes, data, site), whole[site])


def test_dead_features_harm_nothing(dictionary):
    data = data_for(dictionary)
    with torch.no_grad():
        for name, bias in dictionary.named_parameters():
            if name.startswith(("b_enc", "gate.b_mag")):
                bias.fill_(-1e6)
    found = dictionary.loss(data)
    found["loss"].backward()
    assert torch.isfinite(found["loss"])
    assert dictionary.always_active or found["l0"] == 0
    for parameter in dictionary.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()
    if dictionary.always_active:
        return
    zero = dictionary.encode({site: torch.zeros_like(x) for site, x in data.items()})
    assert zero.l0().sum() == 0
    assert dictionary.rows_since_fired.eq(400).all()


class Stop(Silent):
    """Cancels after so many chunks."""

    def __init__(self, left: int) -> None:
        self.left = left

    def partial(self, value) -> None:
        self.left -= 1

    def cancelled(self) -> bool:
        return self.left <= 0


def test_trained_by_the_loop_and_resumed_exactly(kind, tmp_path):
    """One run, and one that stops in the middle, end in the same weights; both explain more than they started with."""
    config = TrainConfig(batch_rows=64, initial_rows=300, checkpoint_every_chunks=100, outlier_factor=None)
    reads, writes = sites_of(kind, *LAYERS)

    def rows() -> MemoryRows:
        return MemoryRows(
            data_for(make_dictionary(kind.family, small_config(kind), reads, writes), 1200), 300, passes=4
        )

    def run(name: str, progress=None):
        made = make_dictionary(kind.family, small_config(kind), reads, writes)
        return fit(DictionarySet({"one": made}, "test"), rows(), tmp_path / name, config, progress)

    whole, part = run("whole"), run("part", Stop(5))
    assert part.partial
    resumed = run("part")
    for name, tensor in whole.dictionaries["one"].state_dict().items():
        assert torch.equal(tensor, resumed.dictionaries["one"].state_dict()[name]), name
    data = rows().data
    with torch.no_grad():
        before, after = (trained["one"].loss(data)["fvu"] for trained in (whole.initial, whole.dictionaries))
    assert float(after) < (1.001 if kind.family == "affine" else 0.9) * float(before)
    record = whole.metrics[0]
    assert {"fvu", "l0", "lr", "rows_per_second", "sparsity", "step"} <= record.keys()
    assert record["sparsity"] == 1


def test_readers_give_the_pre_activation(dictionary):
    dictionary.double()
    data = {site: rows.double() for site, rows in data_for(dictionary).items()}
    codes = dictionary.encode(data).padded()
    readers = dictionary.readers(codes)
    if readers is None:
        pytest.skip("units of this kind are no linear functions")
    index = codes.index.flatten()
    reads = torch.stack(list(data.values()))[dictionary.reads_of(index), codes.row_ids().flatten()]
    found = (readers.rows * reads).sum(1) + readers.bias
    wanted = dictionary.pre_activations(data).gather(1, codes.index)
    torch.testing.assert_close(found, wanted.flatten())
    active = codes.value != 0
    torch.testing.assert_close(codes.value[active], wanted[active])


def test_wide_and_narrow_inputs_are_cast(dictionary):
    for dtype in (torch.bfloat16, torch.float64):
        data = {site: rows.to(dtype) for site, rows in data_for(dictionary).items()}
        for rows in dictionary(data).values():
            assert rows.dtype == torch.float32


def test_saved_and_loaded_bit_for_bit(dictionary, tmp_path):
    dictionary.save(tmp_path / "one")
    loaded = load_dictionary(tmp_path / "one")
    assert (type(loaded), loaded.config, loaded.name) == (type(dictionary), dictionary.config, dictionary.name)
    assert (loaded.reads, loaded.writes, loaded.sizes) == (dictionary.reads, dictionary.writes, dictionary.sizes)
    for name, tensor in dictionary.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    data = data_for(dictionary, seed=1)
    for site, rows in dictionary(data).items():
        assert torch.equal(loaded(data)[site], rows)


def test_damaged_file_is_refused(dictionary, tmp_path):
    path = dictionary.save(tmp_path / "one").path / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ArtifactError, match="cannot read the tensors"):
        load_dictionary(tmp_path / "one")


def test_gradients_reach_every_parameter(dictionary):
    data = data_for(dictionary, rows=2000)
    dictionary.loss(data)["loss"].backward()
    for name, parameter in dictionary.named_parameters():
        if parameter.numel() and not (dictionary.family == "codebook" and name.startswith("norm")):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_groups_hold_every_parameter_once(dictionary):
    grouped = [parameter for group in dictionary.parameter_groups() for parameter in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, dictionary.parameters()))


def test_same_seed_same_weights(kind):
    first, second, other = new(kind, 3), new(kind, 3), new(kind, 4)
    first, second, other = (list(made.state_dict().values()) for made in (first, second, other))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    if kind.family != "affine":
        assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_loss_falls_on_a_planted_problem(dictionary):
    raw = data_for(dictionary, rows=4000)
    data = {site: Scale.of(rows).apply_(rows.clone()) for site, rows in raw.items()}
    dictionary.initialise({site: rows[:40] for site, rows in data.items()}, 0)
    before = float(dictionary.loss(data)["loss"].detach())
    optimiser = torch.optim.Adam(dictionary.parameters(), lr=5e-3)
    for step in range(120):
        start = step * 200 % 4000
        optimiser.zero_grad()
        dictionary.loss({site: rows[start : start + 200] for site, rows in data.items()})["loss"].backward()
        optimiser.step()
        dictionary.after_step()
    assert float(dictionary.loss(data)["loss"].detach()) < 0.8 * before


def test_rescaled_weights_do_on_raw_rows_what_they_did_on_scaled_ones(dictionary):
    dictionary.double()
    raw = {site: rows.double() for site, rows in data_for(dictionary).items()}
    scales = {site: Scale.of(rows) for site, rows in raw.items()}
    scaled = {site: scales[site].apply_(rows.clone()) for site, rows in raw.items()}
    wanted, codes = dictionary(scaled), dictionary.encode(scaled)
    dictionary.rescale_(scales)
    assert torch.equal(dictionary.encode(raw).index, codes.index)
    torch.testing.assert_close(dictionary.encode(raw).value, codes.value)
    for site, rows in dictionary(raw).items():
        torch.testing.assert_close((rows - scales[site].mean) * scales[site].factor, wanted[site])


def test_firing_is_counted(dictionary):
    data = data_for(dictionary)
    dictionary.loss(data)
    codes = dictionary.encode(data)
    fired = torch.zeros(dictionary.width, dtype=torch.bool)
    fired[codes.index[codes.value != 0]] = True
    assert torch.equal(dictionary.rows_since_fired == 0, fired)
    assert dictionary.rows_since_fired[~fired].eq(400).all()


def test_no_rows_is_no_error(dictionary):
    data = {site: rows[:0] for site, rows in data_for(dictionary).items()}
    assert isinstance(dictionary.encode(data), Codes)
    assert all(rows.shape == (0, D) for rows in dictionary(data).values())


@pytest.fixture(scope="module")
def half_model():
    return build_hooked("llama", torch.bfloat16)[0]


def test_spliced_into_a_half_precision_model_keeps_the_streams_dtype(kind, half_model):
    d, ids = half_model.shape.d_model, random_ids()
    reads, writes = (dict.fromkeys(sites, d) for sites in sites_of(kind, 0, 1))
    made = make_dictionary(kind.family, small_config(kind), reads, writes)
    found = half_model.capture(ids, made.sizes)
    rows = {site: x.flatten(0, 1).float() for site, x in found.items()}
    made.initialise(rows, 0)
    with torch.no_grad():
        run = half_model.run(ids, [Edit.through(made)], sites=tuple(made.sizes))
        read = {site: run.activations[site].flatten(0, 1) for site in reads if site not in writes}
        wanted = made({**rows, **read})
    assert run.logits is not None
    assert run.logits.dtype == torch.bfloat16
    for site in writes:
        assert run.activations[site].dtype == torch.bfloat16
        assert torch.equal(run.activations[site].flatten(0, 1), wanted[site].bfloat16())
