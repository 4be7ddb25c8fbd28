"""Ways to damage the files of a dictionary; each says whether a reader can be expected to notice."""

import gzip
import io
import json
import pickle
import random
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

JUNK: list[Any] = [
    None,
    -1,
    0,
    3,
    2**31,
    2**63,
    10**30,
    -(2**70),
    0.5,
    1e308,
    "",
    "x" * 50,
    "../../etc/passwd",
    [],
    [1],
    {},
    {"a": 1},
    True,
    [[[[]]]],
    "relu",
    "topk",
    "jumprelu",
]


class Bomb:
    """Would create a file if anything ran it."""

    def __init__(self, marker: Path, way: int) -> None:
        self.marker, self.way = marker, way

    def __reduce__(self):
        import os
        import subprocess

        command = f"touch {self.marker}"
        ways = [
            (os.system, (command,)),
            (eval, (f"__import__('os').system({command!r})",)),
            (exec, (f"open({str(self.marker)!r}, 'w')",)),
            (subprocess.check_call, (["touch", str(self.marker)],)),
            (__import__, ("os",)),
            (open, (str(self.marker), "w")),
        ]
        return ways[self.way % len(ways)]


Damage = Callable[[bytes, random.Random, Path], tuple[bytes, bool]]


def truncated(data: bytes, draw: random.Random, marker: Path) -> tuple[bytes, bool]:
    return data[: draw.randrange(len(data))], True


def flipped(data: bytes, draw: random.Random, marker: Path) -> tuple[bytes, bool]:
    found = bytearray(data)
    for _ in range(draw.choice([1, 1, 3, 20, 200])):
        found[draw.randrange(len(found))] = draw.randrange(256)
    return bytes(found), False


def overwritten(data: bytes, draw: random.Random, marker: Path) -> tuple[bytes, bool]:
    at, length = draw.randrange(len(data)), draw.choice([1, 8, 64, 1000])
    fill = draw.choice([b"\0", b"\xff", b"\x7f", b"A"])
    return data[:at] + (fill * length)[: len(data) - at] + data[at + length :], False


def spliced(data: bytes, draw: random.Random, marker: Path) -> tuple[bytes, bool]:
    at, start = draw.randrange(len(data)), draw.randrange(len(data))
    return data[:at] + data[start : start + draw.choice([1, 10, 500])] + data[at:], False


def noise(data: bytes, draw: random.Random, marker: Path) -> tuple[bytes, bool]:
    return draw.randbytes(draw.choice([0, 1, 7, 8, 9, 100, 5000])), True


def header(data: bytes, draw: random.Random, marker: Path) -> tuple[bytes, bool]:
    """The header of a safetensors file: dtypes, shapes, offsets, names, lengths."""
    length = struct.unpack("<Q", data[:8])[0]
    found = json.loads(data[8 : 8 + length])
    kind = draw.randrange(8)
    name = draw.choice(sorted(found))
    entry = found[name]
    if kind == 0:
        entry["dtype"] = draw.choice(["I32" if entry["dtype"] == "F32" else "F32", "F4", "Q8", "", 7, None, "F64"])
    elif kind == 1:
        entry["shape"] = draw.choice([[-1, 4], [2**40, 2**40], [0], [10**18], "6", [1] * 100, [[6]], [6.0], None])
    elif kind == 2:
        entry["shape"] = [*entry["shape"][:-1], (entry["shape"] or [1])[-1] + draw.choice([1, 2, 100])]
    elif kind == 3:
        entry["data_offsets"] = draw.choice([[0, 2**60], [-8, 16], [16, 0], [0], "x", None, [2**70, 2**71], [1, 5]])
    elif kind == 4:
        del found[name]
    elif kind == 5:
        found[name + "x"] = found.pop(name)
    elif kind == 6:
        huge = draw.choice([2**63, 2**32, len(data), length + 1, 100 << 20])
        return struct.pack("<Q", huge) + data[8:], True
    else:
        deep = b"[" * draw.choice([1000, 200_000]) if draw.random() < 0.5 else b'{"a":' * 50_000
        return struct.pack("<Q", len(deep)) + deep + data[8 + length :], True
    text = json.dumps(found).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :], True


def settings(data: bytes, draw: random.Random, marker: Path) -> tuple[bytes, bool]:
    """A value of a JSON file becomes something else, or goes."""
    try:
        found = json.loads(data)
    except ValueError:
        return data[: len(data) // 2], False
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], dict | list):
                walk(value[key])

    walk(found)
    for _ in range(draw.choice([1, 1, 4])):
        place, key = draw.choice(places)
        if isinstance(place, dict) and draw.random() < 0.3:
            place.pop(key, None)
        elif isinstance(place, dict) or key < len(place):
            place[key] = draw.choice(JUNK)
    text = json.dumps(found)
    if draw.random() < 0.1:
        text = draw.choice(["[" * 100_000, '{"a": NaN}', "1" * 5000, text.replace(":", ": Infinity,", 1), "null", "[]"])
    return text.encode(), False


def lines(data: bytes, draw: random.Random, marker: Path) -> tuple[bytes, bool]:
    """A YAML file: values, tags that would build objects, aliases that would grow."""
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{n}: &{n} [{', '.join(['*a'] * 9)}]\n" for n in "bcdefgh")
    found = draw.choice(
        [
            bomb,
            f'!!python/object/apply:os.system ["touch {marker}"]\n',
            "model_kind: !!python/name:os.system\n",
            "- 1\n- 2\n",
            "[" * 5000,
            "\tx: 1\n",
            "model_kind: cross_layer_transcoder_set\n",
            "k: -3\nactivation: topk\n",
        ]
    )
    keep = draw.random() < 0.3
    return (data if keep else b"") + found.encode(), False


def pickled(data: bytes, draw: random.Random, marker: Path) -> tuple[bytes, bool]:
    """A checkpoint whose pickle is hostile: code to run, sizes that lie, storages that are not there."""
    bomb = pickle.dumps(Bomb(marker, draw.randrange(6)), protocol=draw.choice([2, 3, 4, 5]))
    if data[:2] == b"\x1f\x8b":
        inner = gzip.decompress(data)
        found = draw.choice([bomb, _lied(inner, draw), flipped(inner, draw, marker)[0]])
        return gzip.compress(found, 1), found is bomb
    if data[:2] != b"PK":
        return bomb, True
    members = {
        info.filename: zipfile.ZipFile(io.BytesIO(data)).read(info)
        for info in zipfile.ZipFile(io.BytesIO(data)).infolist()
    }
    key = next(name for name in members if name.endswith("data.pkl"))
    kind = draw.randrange(6)
    sure = True
    if kind == 0:
        members[key] = bomb
    elif kind == 1:
        members[key], sure = _lied(members[key], draw), False
    elif kind == 2:
        members[key], sure = flipped(members[key], draw, marker)[0], False
    elif kind == 3:
        other = draw.choice(sorted(name for name in members if "/data/" in name))
        members[other], sure = members[other][:-4], True
    elif kind == 4:
        del members[draw.choice(sorted(name for name in members if "/data" in name))]
        sure = False
    else:
        members[key] = draw.choice(
            [
                b"",
                b"\x80\x02.",
                b"\x80\x02]" + b"]" * (600_000 if draw.random() < 0.05 else 900) + b".",
                b"\x80\x02" + b"(" * 9000,
                b"\x80\x02}r\xff\xff\xff\x7f.",
                b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
            ]
        )
        sure = not members[key].endswith(b"\x7f.") or members[key][2:3] != b"}"
    return _zipped(members, draw), sure


def _lied(data: bytes, draw: random.Random) -> bytes:
    """A pickle in which some small numbers have become large or negative."""
    places = [match.start() for match in re.finditer(rb"K.", data, re.DOTALL)]
    found = data
    for _ in range(draw.choice([1, 3])):
        at = draw.choice(places)
        found = found[:at] + b"J" + struct.pack("<i", draw.choice([2**31 - 1, -1, -(2**31), 10**6])) + found[at + 2 :]
    return found


def _zipped(members: dict[str, bytes], draw: random.Random) -> bytes:
    out = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if draw.random() < 0.2 else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def arrays(data: bytes, draw: random.Random, marker: Path) -> tuple[bytes, bool]:
    """An .npz file whose arrays have headers that lie, or hold objects, or grow when inflated."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = draw.choice(sorted(members))
    content = members[name]
    kind = draw.randrange(6)
    if kind == 0:
        shape = re.search(rb"'shape': \(([^)]*)\)", content)
        assert shape
        lie = draw.choice([b"(-1, 4)", b"(999999999999, 9)", b"(2,)", b"()", b"(1e9,)", b"(__import__('os'),)"])
        content = content.replace(b"'shape': (" + shape[1] + b")", b"'shape': " + lie)
    elif kind == 1:
        content = content.replace(b"'<f4'", draw.choice([b"'|O4'", b"'<i4'", b"'>f4'", b"'<c8'", b"'<f9'", b"'<U1'"]))
    elif kind == 2:
        content = content[: draw.randrange(len(content))]
    elif kind == 3:
        content = content[:8] + struct.pack("<H", 65535) + content[10:]
    elif kind == 4:
        content = content[:6] + bytes([draw.choice([0, 9, 255])]) + content[7:]
    else:
        content = b"\0" * draw.choice([10, 30 << 20])
    members[name] = content
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", draw.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]), compresslevel=1) as made:
        for member, value in members.items():
            made.writestr(member, value)
    return out.getvalue(), True


def damages(name: str) -> list[Damage]:
    """What can be done to a file of that name."""
    general: list[Damage] = [truncated, flipped, overwritten, spliced, noise]
    if name.endswith(".safetensors"):
        return [*general, *[header] * 6]
    if name.endswith(".json"):
        return [*[settings] * 8, flipped, noise]
    if name.endswith(".yaml"):
        return [lines, lines, flipped, noise]
    if name.endswith(".npz"):
        return [*general, *[arrays] * 5]
    return [*general, *[pickled] * 6]
