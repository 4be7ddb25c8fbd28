"""The pickle reader: everything that checkpoints hold, nothing that runs."""

import contextlib
import gzip
import io
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from workbench.core import ArtifactError
from workbench.exchange.numpy_file import read_npz
from workbench.exchange.restricted_pickle import Record, Unpickler
from workbench.exchange.safetensors_file import read_safetensors
from workbench.exchange.torch_file import read_checkpoint, tensors_of

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


def state() -> dict:
    draw = torch.Generator().manual_seed(0)
    found = {str(dtype): (torch.randn(3, 4, generator=draw) * 50).to(dtype) for dtype in DTYPES}
    whole = torch.arange(60.0).reshape(3, 4, 5)
    return OrderedDict(
        {
            **found,
            "transposed": whole.permute(2, 0, 1),
            "slice": whole[1, :, 2:4],
            "scalar": torch.tensor(3.5),
            "empty": torch.zeros(0, 7),
            "expanded": torch.ones(4).expand(1, 4),
            "parameter": torch.nn.Parameter(torch.ones(2, 3)),
            "shared": whole[0],
            "text": "TopK",
            "number": 7,
            "nested": {"k": 3, "on": True, "none": None, "real": 0.25, "list": [1, (2, "x")]},
        }
    )


def assert_read(path) -> None:
    wanted, found = state(), tensors_of(read_checkpoint(path), "file")
    for name, value in wanted.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(found[name].load(), value.detach()), name
            assert found[name].load().dtype == value.dtype
        else:
            assert found.extra[name] == value


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_checkpoints_of_torch(tmp_path, zipped, protocol):
    path = tmp_path / "a.pt"
    torch.save(state(), path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert_read(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_bare_pickles_and_gzip(tmp_path, protocol):
    data = pickle.dumps(state(), protocol=protocol)
    (tmp_path / "a.pkl").write_bytes(data)
    (tmp_path / "a.pkl.gz").write_bytes(gzip.compress(data))
    assert_read(tmp_path / "a.pkl")
    assert_read(tmp_path / "a.pkl.gz")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numpy_arrays(tmp_path, protocol):
    arrays = {
        "c": np.arange(12, dtype=np.float32).reshape(3, 4),
        "f": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "b": np.array([True, False]),
        "scalar": np.float64(2.5),
        "empty": np.zeros((0, 3), np.int64),
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(arrays, protocol=protocol))
    found = tensors_of(read_checkpoint(tmp_path / "a.pkl"), "file")
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez_compressed(tmp_path / "b.npz", **arrays)
    for tensors in (found, read_npz(tmp_path / "a.npz"), read_npz(tmp_path / "b.npz")):
        for name, array in arrays.items():
            assert np.array_equal(tensors[name].load().numpy(), array), name


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4) | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


@given(plain, st.integers(2, 5))
def test_plain_values_are_what_pickle_gives(value, protocol):
    data = memoryview(pickle.dumps(value, protocol=protocol))
    assert Unpickler(data, "test", {}).load() == pickle.loads(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_plain(data):
    with contextlib.suppress(ArtifactError):
        Unpickler(memoryview(data), "test", {}).load()


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "torch.load", "numpy.load", "functools.partial", "torch._utils.exec", "a.b"]
)
def test_other_globals_are_refused_by_name(name):
    module, _, attribute = name.rpartition(".")
    first, second = module.encode(), attribute.encode()
    by_line = b"\x80\x02c" + first + b"\n" + second + b"\n."
    by_stack = b"\x80\x04\x8c" + bytes([len(first)]) + first + b"\x8c" + bytes([len(second)]) + second + b"\x93."
    for data in (by_line, by_stack):
        with pytest.raises(ArtifactError, match=f"asks for {name}, which is not allowed; nothing was run"):
            Unpickler(memoryview(data), "test", {}).load()


def test_an_allowed_name_of_another_module_is_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02cos\n_rebuild_tensor_v2\n.")
    with pytest.raises(ArtifactError, match="asks for os._rebuild_tensor_v2"):
        read_checkpoint(tmp_path / "a.pkl")


class Settings:
    pass


def test_records_are_inert(tmp_path):
    one = Settings()
    one.size, one.kind = 3, torch.float32
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"cfg": one}))
    with pytest.raises(ArtifactError, match="Settings, which is not allowed"):
        read_checkpoint(tmp_path / "a.pkl")
    name = f"{Settings.__module__}.Settings"
    found = read_checkpoint(tmp_path / "a.pkl", records=[name])
    assert found == {"cfg": Record(name, {"size": 3, "kind": "float32"})}


def test_every_opcode_of_real_checkpoints_is_known(tmp_path):
    """What torch and pickle write is a subset of what is read; the rest of the language is not."""
    from workbench.exchange.restricted_pickle import _OPERATIONS

    known = {chr(code) for code in _OPERATIONS} | {"."}
    assert known < {op.code for op in pickletools.opcodes}
    assert not known & {op.code for op in pickletools.opcodes if op.name in ("INST", "OBJ", "EXT1", "NEWOBJ_EX", "DUP")}


def zipped(tmp_path, change) -> object:
    torch.save({"a": torch.arange(6.0).reshape(2, 3)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    change(members)
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return read_checkpoint(tmp_path / "b.pt")


def test_sizes_that_lie_are_refused_before_anything_is_allocated(tmp_path):
    def longer(members):
        key = next(name for name in members if name.endswith("data.pkl"))
        members[key] = members[key].replace(b"K\x06", b"J\xff\xff\xff\x7f")  # six elements become two thousand million

    def shorter(members):
        key = next(name for name in members if "/data/" in name)
        members[key] = members[key][:-4]

    def strided(members):
        key = next(name for name in members if name.endswith("data.pkl"))
        members[key] = members[key].replace(b"K\x02K\x03\x86", b"K\x09K\x03\x86")

    for change, message in (
        (longer, "wants 8,589,934,588 bytes"),
        (shorter, "wants 24 bytes"),
        (strided, "reaches beyond"),
    ):
        with pytest.raises(ArtifactError, match=message):
            zipped(tmp_path, change)


def test_bombs_of_compression_are_refused(tmp_path):
    (tmp_path / "a.pkl.gz").write_bytes(gzip.compress(b"\0" * (300 << 20), 1))
    with pytest.raises(ArtifactError, match="grows beyond"):
        read_checkpoint(tmp_path / "a.pkl.gz")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a.npy", b"\0" * (300 << 20))
    (tmp_path / "a.npz").write_bytes(out.getvalue())
    with pytest.raises(ArtifactError, match=r"wants to grow from [\d,]+ to 314,572,800 bytes; weights do not"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}', "is no JSON"),
        (b"[1]", "wants names of tensors"),
        (b'{"a": 3}', "wants dtype, shape and offsets"),
        (b'{"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 8]}}', "a dtype that is not read; found 'F4'"),
        (b'{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}', "an impossible shape"),
        (b'{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}', r"wants 12 bytes for float32 \[3\]"),
        (b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}', "lies outside the file"),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}', "leave a gap"),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', "longer than its tensors"),
        (
            b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "F32", "shape": [1], '
            b'"data_offsets": [4, 8]}}',
            "overlap",
        ),
        (b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "a": 1}', "a name occurs twice"),
    ],
)
def test_headers_of_safetensors_are_checked(tmp_path, header, message):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)
    with pytest.raises(ArtifactError, match=message):
        read_safetensors(path)


def test_lengths_of_safetensors_headers(tmp_path):
    path = tmp_path / "a.safetensors"
    for data in (b"\1", struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 3) + b"{}"):
        path.write_bytes(data)
        with pytest.raises(ArtifactError, match="wants a safetensors header"):
            read_safetensors(path)
    path.write_bytes(b"")
    with pytest.raises(ArtifactError, match="is empty"):
        read_safetensors(path)
