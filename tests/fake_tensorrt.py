"""A card and a TensorRT made of host memory and ONNX Runtime.

Everything above them is the real code: buffers, copies, streams, profiles, the pool of contexts. Work that is put into
a stream is only done when the stream is waited for, so what is read too early is seen to be wrong; fresh memory holds
NaN; memory that is freed twice, used after it was freed, or never freed is an error. Says nothing of the real library.
"""

from __future__ import annotations

import json
import re
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime as ort

from tal_engine.backends.cuda import DeviceMemoryError
from tal_engine.backends.tensorrt.edition import Flavour

MAGIC = b"FAKE"
VERSION = "10.9.0"


class FakeDevice:
    """A card with so many bytes of memory."""

    name, target = "Fake Card", "sm89"

    def __init__(self, capacity=1 << 30):
        self.capacity, self.memory, self.hosts, self.streams = capacity, {}, {}, {}
        self.lock, self.largest = threading.Lock(), 0

    def use(self):
        pass

    def allocate(self, size):
        with self.lock:
            if sum(m.nbytes for m in self.memory.values()) + size > self.capacity:
                raise DeviceMemoryError(f"{size} bytes are not there")
            block = np.full(size, 0xFF, np.uint8)
            self.memory[block.ctypes.data] = block
            self.largest = max(self.largest, sum(m.nbytes for m in self.memory.values()))
            return block.ctypes.data

    def free(self, address):
        del self.memory[address]

    def allocate_host(self, size):
        block = np.full(size, 0xFF, np.uint8)
        self.hosts[block.ctypes.data] = block
        return block

    def free_host(self, memory):
        del self.hosts[memory.ctypes.data]

    def stream(self):
        with self.lock:
            number = 1 + max(self.streams, default=0)
            self.streams[number] = []
            return number

    def destroy(self, stream):
        del self.streams[stream]

    def copy_in(self, address, memory, size, stream):
        def work():
            self.memory[address][:size] = memory[:size]

        self.streams[stream].append(work)

    def copy_out(self, memory, address, size, stream):
        def work():
            memory[:size] = self.memory[address][:size]

        self.streams[stream].append(work)

    def wait(self, stream):
        work, self.streams[stream] = self.streams[stream], []
        for step in work:
            step()

    @property
    def empty(self):
        """All that was taken was given back."""
        return not (self.memory or self.hosts or self.streams)


class _Context:
    def __init__(self, engine):
        self.engine, self.shapes, self.addresses, self.workspace = engine, {}, {}, (0, 0)

    def set_input_shape(self, name, shape):
        least, _, largest = self.engine.header["profile"][name]
        self.shapes[name] = tuple(shape)
        return all(a <= n <= b for a, n, b in zip(least, shape, largest, strict=True))

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def infer_shapes(self):
        return [n for n in self.engine.names("input") if n not in self.shapes]

    def _sizes(self):
        shapes = self.engine.header["named"]
        return {
            d: n
            for name, shape in self.shapes.items()
            for d, n in zip(shapes[name], shape, strict=True)
            if isinstance(d, str)
        }

    def get_tensor_shape(self, name):
        sizes = self._sizes()
        return [sizes.get(d, d) for d in self.engine.header["named"][name]]

    def update_device_memory_size_for_shapes(self):
        return self.engine.header["workspace"] * int(np.prod(list(self._sizes().values())))

    def set_device_memory(self, address, size):
        self.workspace = (address, size)

    def execute_async_v3(self, stream):
        device, shapes = self.engine.device, dict(self.shapes)
        address, size = self.workspace
        assert device.memory[address].nbytes >= size >= self.update_device_memory_size_for_shapes()

        def view(name, shape):
            dtype = np.dtype(self.engine.header["dtypes"][name])
            raw = device.memory[self.addresses[name]][: int(np.prod(shape)) * dtype.itemsize]
            return raw.view(dtype).reshape(shape)

        def work():
            names = self.engine.names("output")
            values = self.engine.session.run(names, {n: view(n, s) for n, s in shapes.items()})
            for name, value in zip(names, values, strict=True):
                view(name, value.shape)[...] = value

        device.streams[stream].append(work)
        return not self.engine.header.get("fails")


class _Engine:
    def __init__(self, header, content, device):
        self.header, self.device = header, device
        self.session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
        self.contexts = 0
        self.num_io_tensors = len(header["dtypes"])

    def names(self, kind):
        return [n for n in self.header["dtypes"] if (n in self.header["profile"]) == (kind == "input")]

    def get_tensor_name(self, i):
        return list(self.header["dtypes"])[i]

    def get_tensor_mode(self, name):
        return "in" if name in self.header["profile"] else "out"

    def get_tensor_dtype(self, name):
        return self.header["dtypes"][name]

    def get_tensor_shape(self, name):
        return [d if isinstance(d, int) else -1 for d in self.header["named"][name]]

    def get_tensor_profile_shape(self, name, index):
        return self.header["profile"][name]

    def create_engine_inspector(self):
        layer = {"Inputs": [{"Format/Datatype": "Row major linear FP32"}], "Outputs": [{"Datatype": "Half"}]}
        text = json.dumps({"Layers": [layer, {"Inputs": [], "Outputs": []}]})
        return SimpleNamespace(get_engine_information=lambda form: text)

    def create_runtime_config(self):
        return _RuntimeConfig()

    def create_execution_context(self, settings):
        assert getattr(settings, "strategy", settings) == "user"
        self.contexts += 1
        return _Context(self)


class _RuntimeConfig:
    """Of TensorRT-RTX: takes a runtime cache."""

    def set_execution_context_allocation_strategy(self, strategy):
        self.strategy = strategy

    def create_runtime_cache(self):
        return _RuntimeCache()

    def set_runtime_cache(self, cache):
        cache.used = True


class _RuntimeCache:
    """Counts the processes that it has been through."""

    content, used = b"", False

    def deserialize(self, content):
        if content.startswith(b"compiled"):
            self.content = content
        return bool(self.content)

    def serialize(self):
        assert self.used
        return self.content + b"compiled "


class _Network:
    num_layers = 0

    def read(self, content):
        self.content = content
        self.session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
        self.num_inputs = len(self.session.get_inputs())

    def get_input(self, i):
        return self.session.get_inputs()[i]


class _Builder:
    builds = 0

    def __init__(self, logger):
        pass

    def create_network(self, flags):
        assert flags == 1 << 3
        return _Network()

    def create_builder_config(self):
        return _Config()

    def create_optimization_profile(self):
        return _Profile()

    def build_serialized_network(self, network, config):
        assert "TF32" not in config.flags, "float32 graphs would be multiplied with 10 bits"
        type(self).builds += 1
        config.cache.content += b"timed "
        return engine_bytes(network.content, network.session, config.profile.shapes)


class _Profile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, name, *shapes):
        self.shapes[name] = shapes


class _Timing:
    def __init__(self, content):
        self.content = content

    def serialize(self):
        return self.content


class _Config:
    def __init__(self):
        self.flags = {"TF32"}  # as NVIDIA's has it

    def clear_flag(self, flag):
        self.flags.remove(flag)

    def add_optimization_profile(self, profile):
        self.profile = profile

    def create_timing_cache(self, content):
        return _Timing(content)

    def set_timing_cache(self, cache, ignore_mismatch):
        assert not ignore_mismatch
        self.cache = cache
        return not cache.content.startswith(b"other card")


class _Parser:
    num_errors = 0

    def __init__(self, network, logger):
        self.network = network

    def parse(self, content):
        self.network.read(content)
        return True


class _Runtime:
    device: FakeDevice

    def __init__(self, logger):
        self.logger, self.engine_host_code_allowed = logger, True

    def deserialize_cuda_engine(self, engine):
        if not engine.startswith(MAGIC):
            self.logger.log(1, "Magic tag does not match")
            return None
        header, content = engine[len(MAGIC) :].split(b"\n", 1)
        header = json.loads(header)
        if header.get("host_code") and not self.engine_host_code_allowed:
            self.logger.log(1, "host code is not allowed")
            return None
        return _Engine(header, content, self.device)


class _ILogger:
    ERROR, WARNING, INFO, VERBOSE = 1, 2, 3, 4


def engine_bytes(content, session, profile, **more):
    """An engine of the fake library."""
    tensors = [*session.get_inputs(), *session.get_outputs()]
    # What torch calls s48 is the batch.
    named = {t.name: [d if isinstance(d, int) else "B" if re.match(r"s\d", d) else d for d in t.shape] for t in tensors}
    kinds = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}
    header = {
        "dtypes": {t.name: kinds[t.type] for t in tensors},
        "named": named,
        "profile": {n: [list(s) for s in shapes] for n, shapes in profile.items()},
        "workspace": 64,
        **more,
    }
    return MAGIC + json.dumps(header).encode() + b"\n" + content


def fake_flavour(device, name="tensorrt"):
    """The fake library on a card."""
    module = ModuleType("fake_tensorrt")
    module.__version__ = VERSION
    parts = {
        "ILogger": _ILogger,
        "Runtime": type("Runtime", (_Runtime,), {"device": device}),
        "Builder": type("Builder", (_Builder,), {}),
        "OnnxParser": _Parser,
        "NetworkDefinitionCreationFlag": SimpleNamespace(STRONGLY_TYPED=3),
        "ProfilingVerbosity": SimpleNamespace(DETAILED=2),
        "BuilderFlag": SimpleNamespace(TF32="TF32"),
        "LayerInformationFormat": SimpleNamespace(JSON=1),
        "TensorIOMode": SimpleNamespace(INPUT="in"),
        "ExecutionContextAllocationStrategy": SimpleNamespace(USER_MANAGED="user"),
        "nptype": lambda dtype: np.dtype(dtype).type,
    }
    if name == "tensorrt-rtx":
        parts["IRuntimeCache"] = _RuntimeCache
    for key, value in parts.items():
        setattr(module, key, value)
    return Flavour(name, module)
