"""Pickles from outside as inert data: no class is looked up, no function is called, nothing is imported.

Plain values, lists, mappings and NumPy arrays are rebuilt; an object of any other class becomes an `Inert` that says
which class it was of. A pickle that asks for a function of the system (os.system, builtins.eval, ...) is refused:
honest data never does.

The pure-Python unpickler of the standard library is the base: in the one written in C ten bytes of a pickle can take
32 GiB (a memo index of 2**31), and its opcodes cannot be replaced.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

#: Makers of values by the names that pickles know them by.
Makers = Mapping[tuple[str, str], Any]

_ARRAY_KINDS = "biufcSUMm"
_BUILTINS = frozenset(["bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr", "int", "list",
                       "long", "object", "range", "set", "slice", "str", "tuple", "type", "unicode", "xrange"]
                      )  # fmt: skip
_CODE = frozenset(["_pickle", "asyncio", "code", "commands", "ctypes", "importlib", "marshal", "multiprocessing", "nt",
                   "os", "pickle", "popen2", "posix", "pty", "runpy", "shutil", "socket", "subprocess", "sys"]
                  )  # fmt: skip


class Inert:
    """Stands for an object whose class is not known here: what it was made of, and no behaviour of it.

    origin: "module.name" of the class. args: what it was made with. state: its attributes, if it had any.
    """

    origin: ClassVar[str] = ""

    def __new__(cls, *args: object, **_: object) -> Inert:
        self = super().__new__(cls)
        self.args, self.state, self.entries, self.items = args, None, {}, []
        return self

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.args: tuple[object, ...]
        self.state: object
        self.entries: dict[Any, Any]
        self.items: list[Any]

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.entries[key] = value

    def append(self, value: Any) -> None:
        """Take an item, as subclasses of list do."""
        self.items.append(value)

    add = append

    def __repr__(self) -> str:
        return f"<{self.origin}>"


class Mapped(dict[Any, Any]):
    """Stands for OrderedDict, defaultdict and Counter; their attributes and factories are dropped."""

    def __new__(cls, *_: object) -> Mapped:
        return super().__new__(cls)

    def __init__(self, *args: object) -> None:
        for given in args:  # pairs or a mapping; of a defaultdict first its factory
            if isinstance(given, dict):
                self.update(given)
            elif isinstance(given, list):
                self.update((k, v) for k, v in given if _is_key(k))

    def __setstate__(self, state: object) -> None:
        """Drop attributes of the mapping."""


class Maker:
    """A function of ours that pickles may call. They cannot change it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it gives a function a state")


class ArrayType:
    """A NumPy dtype as a pickle describes it."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code, self.order = str(code) if isinstance(code, str) else "", "="

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = state[1]

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The dtype of numbers, text, bytes and times; None for any other."""
        if self.code[:1] not in tuple(_ARRAY_KINDS) or not (self.code[1:].isdigit() and len(self.code) < 12):
            return None
        return np.dtype(self.order.replace("|", "=") + self.code)


class Array:
    """A NumPy array as a pickle describes it; `value` builds it."""

    def __init__(self, *_: object) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.type: object = ArrayType("f8")
        self.fortran: object = False
        self.data: object = b""

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.type, self.fortran, self.data = state

    @property
    def value(self) -> NDArray[Any] | list[Any]:
        """The array; the flat list of its elements where they are objects.

        Raises:
            pickle.UnpicklingError: its shape, dtype and data do not go together.
        """
        if not (isinstance(self.shape, tuple) and all(type(n) is int and n >= 0 for n in self.shape)):
            raise pickle.UnpicklingError("an array has no shape")
        count = 1
        for n in self.shape:
            count *= n
        if isinstance(self.data, list):
            if count != len(self.data):
                raise pickle.UnpicklingError(f"an array of shape {list(self.shape)} has {len(self.data)} elements")
            return self.data
        dtype = self.type.dtype if isinstance(self.type, ArrayType) else None
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        if dtype is None or not isinstance(data, bytes | bytearray) or count * dtype.itemsize != len(data):
            raise pickle.UnpicklingError(f"an array of shape {list(self.shape)} has other data than its dtype needs")
        flat = np.frombuffer(data, dtype) if data else np.zeros(0, dtype)
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


def _scalar(kind: Any, data: Any = b"") -> Any:
    dtype = kind.dtype if isinstance(kind, ArrayType) else None
    data = data.encode("latin1") if isinstance(data, str) else data
    if dtype is None or not isinstance(data, bytes) or len(data) != dtype.itemsize or not data:
        return None
    return np.frombuffer(data, dtype)[0].item()


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> Array:
    array = Array()
    array.__setstate__((1, shape, kind, order == "F", bytes(data) if isinstance(data, bytes | bytearray) else b""))
    return array


def _latin1(text: Any, encoding: Any = "latin1") -> bytes:
    """Encode as Python 3 writes bytes into a pickle of protocol 2; other encodings are refused."""
    if encoding != "latin1" or not isinstance(text, str):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}, only latin1 is known")
    return text.encode("latin1")


def _set(values: Any = ()) -> Any:
    return {v for v in values if _is_key(v)} if isinstance(values, list | tuple) else set()


def _makers() -> dict[tuple[str, str], Any]:
    makers: dict[tuple[str, str], Any] = {("_codecs", "encode"): Maker(_latin1), ("numpy", "dtype"): ArrayType}
    for name in ("OrderedDict", "defaultdict", "Counter"):
        makers["collections", name] = Mapped
    for module in ("builtins", "__builtin__"):
        makers |= {(module, "set"): Maker(_set), (module, "frozenset"): Maker(_set)}
    for package in ("numpy.core", "numpy._core"):
        makers |= {(f"{package}.multiarray", "scalar"): Maker(_scalar),
                  (f"{package}.multiarray", "_reconstruct"): Maker(Array),
                  (f"{package}.numeric", "_frombuffer"): Maker(_from_buffer)}  # fmt: skip
    return makers


class InertUnpickler(pickle._Unpickler):
    """An unpickler that knows data and no code."""

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: IO[bytes], makers: Makers | None = None, persistent: Callable[[Any], Any] | None = None):
        """Prepare to read one pickle from where `file` is.

        Args:
            file: open for reading.
            makers: of further values, by module and name; ours, never the file's.
            persistent: what a persistent id stands for.
        """
        super().__init__(file, encoding="latin1")
        self._makers = {**_makers(), **(makers or {})}
        self._persistent = persistent

    def find_class(self, module: Any, name: Any) -> Any:
        """Give a maker of ours, or a new class of inert objects; nothing is looked up."""
        module, name = str(module), str(name)
        if (module, name) in self._makers:
            return self._makers[module, name]
        if _is_code(module, name):
            raise pickle.UnpicklingError(f"refused {module}.{name}, which is code and not data; nothing was run")
        inert = type("Inert", (Inert,), {"origin": f"{module}.{name}"})
        self._makers[module, name] = inert
        return inert

    def persistent_load(self, pid: Any) -> Any:
        """Look up a persistent id."""
        if self._persistent is None:
            raise pickle.UnpicklingError("it refers to data outside the pickle")
        return self._persistent(pid)

    def get_extension(self, code: int) -> None:
        """Refuse codes of the extension registry, which stand for classes."""
        raise pickle.UnpicklingError(f"it uses extension code {code}")

    def _build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Inert | Mapped | Maker | ArrayType | Array):
            target.__setstate__(state)  # of any other value a state is dropped: it could only replace its methods

    def _set_items(self) -> None:
        items = self.pop_mark()
        self._fill(self.stack[-1], items)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill(self.stack[-1], [key, value])

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._fill(self.stack[-1], items)

    def _add_items(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        for item in items:
            _check_key(item)
            target.add(item)

    def _frozenset(self) -> None:
        items = self.pop_mark()
        for item in items:
            _check_key(item)
        self.append(frozenset(items))

    def _fill(self, target: Any, items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            _check_key(key)
            target[key] = value

    dispatch[pickle.BUILD[0]] = _build
    dispatch[pickle.SETITEM[0]] = _set_item
    dispatch[pickle.SETITEMS[0]] = _set_items
    dispatch[pickle.DICT[0]] = _dict
    dispatch[pickle.ADDITEMS[0]] = _add_items
    dispatch[pickle.FROZENSET[0]] = _frozenset


def load(file: IO[bytes] | bytes, makers: Makers | None = None, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Read one pickle; see `InertUnpickler`. Damaged ones raise anything: use it under `untrusted.guarded`."""
    return InertUnpickler(io.BytesIO(file) if isinstance(file, bytes) else file, makers, persistent).load()


def _is_code(module: str, name: str) -> bool:
    if module in ("builtins", "__builtin__"):
        return name not in _BUILTINS
    return module.partition(".")[0] in _CODE or (module in ("io", "_io") and name in ("open", "FileIO"))


def _is_key(key: object) -> bool:
    """Return whether the key is cheap to hash: nested tuples that share parts would take for ever."""
    flat = key if isinstance(key, tuple) else (key,)
    return len(flat) < 1000 and not any(isinstance(k, tuple | frozenset | list | dict | set) for k in flat)


def _check_key(key: object) -> None:
    if not _is_key(key):
        raise pickle.UnpicklingError(f"a {type(key).__name__} of other values is a key")
