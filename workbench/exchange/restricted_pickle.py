"""Pickles read without running them: an interpreter of the opcodes that builds plain values, tensors and arrays.

The standard library's unpickler is not used, nor is `torch.load`: a pickle is a program, and this is the only machine
here that reads it. It knows the opcodes that checkpoints contain and a fixed table of globals, each replaced by a
function of our own; nothing is imported or called by name. Its memory is bounded by the size of the input.
"""

import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from workbench.core import ArtifactError

MAX_OPCODES = 200_000

Globals = dict[tuple[str, str], Any]


@dataclass
class Record:
    """An instance of a class that is not loaded: its name and its fields, nothing else."""

    name: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RecordType:
    """Stands for a class whose instances are read as Records."""

    name: str


@dataclass(frozen=True)
class Function:
    """Stands for an allowed callable; `call` is ours."""

    call: Callable[..., Any]


class Unfinished:
    """What an allowed function returns when its state follows in the pickle."""

    def restore(self, state: Any) -> None:
        raise NotImplementedError


class _Mark:
    pass


_MARK = _Mark()


class Unpickler:
    """One pass over a pickle.

    Args:
        data: the pickle; what follows its end is left alone (see `position`).
        where: names the file in errors.
        allowed: (module, name) -> a Function or any value that stands for the global.
        records: full names of classes to be read as inert Records.
        persistent: resolves persistent ids (the storages of a checkpoint).
    """

    def __init__(
        self,
        data: memoryview,
        where: str,
        allowed: Globals,
        records: Collection[str] = (),
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self._data, self._where, self._allowed, self._records = data, where, allowed, records
        self._persistent = persistent
        self.position = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The value.

        Raises:
            ArtifactError: truncated, malformed, an opcode or a global that is not allowed.
        """
        try:
            for _ in range(MAX_OPCODES):
                code = self._bytes(1)[0]
                if code == 0x2E:  # STOP
                    return self._pop()
                operation = _OPERATIONS.get(code)
                if operation is None:
                    raise self._error(f"the pickle uses the opcode 0x{code:02x}, which is not read")
                operation(self)
        except ArtifactError:
            raise
        except (IndexError, TypeError, ValueError, KeyError, OverflowError, struct.error, AttributeError) as error:
            raise self._error("the pickle is malformed", type(error).__name__) from None
        raise self._error(f"the pickle has more than {MAX_OPCODES:,} operations")

    def _error(self, wanted: str, found: str | None = None) -> ArtifactError:
        return ArtifactError(f"{self._where}: {wanted}", found, "checkpoints with tensors and arrays only are read")

    def _bytes(self, count: int) -> memoryview:
        end = self.position + count
        if count < 0 or end > len(self._data):
            raise self._error("the pickle is truncated", f"{len(self._data):,} bytes")
        chunk = self._data[self.position : end]
        self.position = end
        return chunk

    def _number(self, code: str) -> Any:
        return struct.unpack("<" + code, self._bytes(struct.calcsize("<" + code)))[0]

    def _line(self) -> str:
        end = self.position
        limit = min(len(self._data), end + 256)
        while end < limit and self._data[end] != 0x0A:
            end += 1
        text = bytes(self._bytes(end - self.position))
        self._bytes(1)
        return text.decode("ascii")

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError
        return value

    def _pop_to_mark(self) -> list[Any]:
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise IndexError
        items = self._stack[at + 1 :]
        del self._stack[at:]
        return items

    def _global(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if (module, name) in self._allowed:
            return self._allowed[module, name]
        if full in self._records:
            return RecordType(full)
        shown = full if len(full) <= 120 and full.isprintable() else repr(full[:120])
        raise self._error(f"the pickle asks for {shown}, which is not allowed; nothing was run")

    def _call(self, arguments: Any, function: Any) -> Any:
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise self._error("the pickle calls what is no allowed function")
        return function.call(*arguments)

    def _put(self, key: int) -> None:
        self._memo[key] = self._stack[-1]

    def _set_items(self, target: Any, items: list[Any]) -> None:
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a tuple of tuples can take time exponential in the size of the pickle.
            if not isinstance(key, str | int):
                raise TypeError
            target[key] = value

    def _new_object(self) -> None:
        arguments, kind = self._pop(), self._pop()
        if not isinstance(kind, RecordType) or arguments != ():
            raise self._error("the pickle makes an object of a class that is not allowed")
        self._push(Record(kind.name))

    def _build(self) -> None:
        state, target = self._pop(), self._stack[-1]
        if isinstance(target, Record):
            self._set_items(target.fields, [part for item in state.items() for part in item])
        elif isinstance(target, Unfinished):
            target.restore(state)
        elif not (isinstance(target, dict) and isinstance(state, dict)):
            raise TypeError
        # The attributes of an OrderedDict (`_metadata` of a state_dict) carry no tensors and are dropped.

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError
        target.extend(items)

    def _persistent_id(self) -> None:
        if self._persistent is None:
            raise self._error("the pickle refers to storages that it does not bring")
        self._push(self._persistent(self._pop()))

    def _long(self, count: int) -> None:
        if count > 16:
            raise ValueError
        self._push(int.from_bytes(self._bytes(count), "little", signed=True))

    def _tuple(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(items)))

    def _text(self, count: int) -> None:
        self._push(bytes(self._bytes(count)).decode("utf-8", "surrogatepass"))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError
        self._push(self._global(module, name))

    def _protocol(self) -> None:
        version = self._number("B")
        if version > 5:
            raise self._error(f"the pickle has protocol {version}, which is not read")


_OPERATIONS: dict[int, Callable[[Unpickler], Any]] = {
    0x80: lambda u: u._protocol(),
    0x95: lambda u: u._number("Q"),  # FRAME: its length says nothing that is needed
    ord("("): lambda u: u._push(_MARK),
    ord("0"): lambda u: u._stack.pop(),
    ord("1"): lambda u: u._pop_to_mark(),
    ord("N"): lambda u: u._push(None),
    0x88: lambda u: u._push(True),
    0x89: lambda u: u._push(False),
    ord("J"): lambda u: u._push(u._number("i")),
    ord("K"): lambda u: u._push(u._number("B")),
    ord("M"): lambda u: u._push(u._number("H")),
    0x8A: lambda u: u._long(u._number("B")),
    0x8B: lambda u: u._long(u._number("i")),
    ord("G"): lambda u: u._push(struct.unpack(">d", u._bytes(8))[0]),
    ord("X"): lambda u: u._text(u._number("I")),
    0x8C: lambda u: u._text(u._number("B")),
    0x8D: lambda u: u._text(u._number("Q")),
    ord("B"): lambda u: u._push(u._bytes(u._number("I"))),
    ord("C"): lambda u: u._push(u._bytes(u._number("B"))),
    0x8E: lambda u: u._push(u._bytes(u._number("Q"))),
    0x96: lambda u: u._push(u._bytes(u._number("Q"))),
    ord("T"): lambda u: u._push(u._bytes(u._number("i"))),
    ord("U"): lambda u: u._push(u._bytes(u._number("B"))),
    ord("]"): lambda u: u._push([]),
    ord(")"): lambda u: u._push(()),
    ord("}"): lambda u: u._push({}),
    ord("a"): lambda u: u._extend([u._pop()]),
    ord("e"): lambda u: u._extend(u._pop_to_mark()),
    ord("t"): lambda u: u._push(tuple(u._pop_to_mark())),
    0x85: lambda u: u._tuple(1),
    0x86: lambda u: u._tuple(2),
    0x87: lambda u: u._tuple(3),
    ord("s"): lambda u: u._set_items(u._stack[-3], [u._stack.pop(-2), u._pop()]),
    ord("u"): lambda u: (lambda items: u._set_items(u._stack[-1], items))(u._pop_to_mark()),
    ord("h"): lambda u: u._push(u._memo[u._number("B")]),
    ord("j"): lambda u: u._push(u._memo[u._number("I")]),
    ord("q"): lambda u: u._put(u._number("B")),
    ord("r"): lambda u: u._put(u._number("I")),
    0x94: lambda u: u._put(len(u._memo)),
    ord("c"): lambda u: u._push(u._global(u._line(), u._line())),
    0x93: lambda u: u._stack_global(),
    ord("R"): lambda u: u._push(u._call(u._pop(), u._pop())),
    0x81: lambda u: u._new_object(),
    ord("b"): lambda u: u._build(),
    ord("Q"): lambda u: u._persistent_id(),
}
