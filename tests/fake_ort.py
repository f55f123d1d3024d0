"""ONNX Runtime as the GPU backend calls it, on a card that is not there: notes every call, computes with numpy."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np


class Value:
    """An OrtValue: an array that says where it lies."""

    def __init__(self, array, device, index):
        self.array, self.device, self.index = array, device, index

    def update_inplace(self, array):
        assert array.flags.c_contiguous
        assert (array.shape, array.dtype) == (self.array.shape, self.array.dtype)
        self.array[...] = array

    def data_ptr(self):
        return self.array.ctypes.data

    def shape(self):
        return list(self.array.shape)

    def data_type(self):
        return {"float32": "tensor(float)", "uint8": "tensor(uint8)", "int64": "tensor(int64)"}[self.array.dtype.name]

    def numpy(self):
        return self.array.copy()


def at(address, dtype, shape, device, index):
    """The array that lies at an address."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(address))
    return Value(raw.view(dtype).reshape(shape), device, index)


class Binding:
    def __init__(self, session):
        self.session, self.inputs, self.outputs = session, {}, {}

    def bind_ortvalue_input(self, name, value):
        self.inputs[name] = value

    def bind_ortvalue_output(self, name, value):
        self.outputs[name] = value

    def bind_input(self, name, device, index, dtype, shape, address):
        self.inputs[name] = at(address, dtype, shape, device, index)

    def bind_output(self, name, device, index, dtype=None, shape=None, address=None):
        self.outputs[name] = (device, index) if address is None else at(address, dtype, shape, device, index)

    def get_outputs(self):
        return [
            Value(self.session.results[n], "cuda", 0) if isinstance(v, tuple) else v for n, v in self.outputs.items()
        ]

    def copy_outputs_to_cpu(self):
        return [self.session.results[n].copy() for n in self.outputs]


class Options:
    """SessionOptions and RunOptions."""

    def __init__(self):
        self.entries = {}

    def add_run_config_entry(self, key, value):
        self.entries[key] = value

    add_session_config_entry = add_run_config_entry


class Session:
    def __init__(self, ort, providers, spec):
        self.ort, self.providers, self.spec = ort, providers, spec
        self.results = {}
        self.runs = []

    def disable_fallback(self):
        pass

    def get_providers(self):
        return self.ort.loads

    def get_inputs(self):
        return [SimpleNamespace(name=n, shape=s, type=t) for n, s, t in self.spec["inputs"]]

    def get_outputs(self):
        return [SimpleNamespace(name=n, shape=s, type=t) for n, s, t in self.spec["outputs"]]

    def io_binding(self):
        self.ort.bindings.append(Binding(self))
        return self.ort.bindings[-1]

    def run_with_iobinding(self, binding, options):
        feeds = {n: v.array for n, v in binding.inputs.items()}
        rows = len(next(iter(feeds.values())))
        self.runs.append((rows, dict(options.entries)))
        if rows > self.ort.fits:
            raise RuntimeError(f"CUDA failure 2: out of memory; rows={rows}")
        if self.ort.breaks:
            raise RuntimeError(self.ort.breaks)
        self.results = self.spec["compute"](feeds)
        for n, value in binding.outputs.items():
            if isinstance(value, Value):
                assert value.array.shape == self.results[n].shape
                assert value.array.dtype == self.results[n].dtype
                value.array[...] = self.results[n]


class FakeOrt:
    """The module. loads: providers that sessions come to run on. fits: rows that the card has memory for."""

    __version__ = "9.9.9"
    SessionOptions = Options
    RunOptions = Options

    def __init__(self, spec, *, loads=("CUDAExecutionProvider",), fits=10**9, breaks="", refuses=lambda options: None):
        self.spec, self.loads, self.fits, self.breaks, self.refuses = spec, list(loads), fits, breaks, refuses
        self.sessions, self.bindings, self.made, self.preloaded = [], [], [], 0
        self.OrtValue = SimpleNamespace(ortvalue_from_shape_and_type=self._value)

    def _value(self, shape, dtype, device, index):
        self.made.append((tuple(shape), np.dtype(dtype), device, index))
        return Value(np.zeros(shape, dtype), device, index)

    def preload_dlls(self):
        self.preloaded += 1
        print("complaint of a library")

    def get_available_providers(self):
        return ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, graph, options, providers):  # noqa: N802 - the library's name
        named = {p[0]: p[1] for p in providers if isinstance(p, tuple)}
        if (why := self.refuses(named)) is not None:
            raise RuntimeError(why)
        self.sessions.append(Session(self, named, self.spec))
        return self.sessions[-1]


def encoder_spec():
    """frames [B, 4] uint8 -> feature [B, 2]: sum and twice the first value."""
    return {
        "inputs": [("frames", ["B", 4], "tensor(uint8)")],
        "outputs": [("feature", ["B", 2], "tensor(float)")],
        "compute": lambda f: {
            "feature": np.stack([f["frames"].sum(1, dtype=np.float32), 2 * f["frames"][:, 0].astype(np.float32)], 1)
        },
    }


def head_spec():
    """rgb [B, T, 3] -> cas [B, T, 3], the same plus one; and one output whose size only the graph knows."""
    return {
        "inputs": [("rgb", ["B", "T", 3], "tensor(float)")],
        "outputs": [("cas", ["B", "T", 3], "tensor(float)"), ("peaks", ["N"], "tensor(int64)")],
        "compute": lambda f: {"cas": f["rgb"] + 1, "peaks": np.arange(f["rgb"].shape[1] // 2)},
    }
