"""A strict array that is no NumPy array: what runs on it keeps to the vocabulary that a GPU array answers to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from lwsam_ref.device import Device

MADE_FROM_NOTHING = ("zeros", "ones", "empty", "full", "asarray", "arange")


class DeviceArray:
    """Wraps a host array; refuses to mix with one, to convert silently, and to be read except through ``get``."""

    __array_priority__ = 1000

    def __init__(self, host: np.ndarray) -> None:
        object.__setattr__(self, "_host", host)

    def get(self, out: np.ndarray | None = None) -> np.ndarray:
        """A copy, in ``out`` if that is given and fits."""
        if out is None:
            return self._host.copy()
        self._fits(out)
        out[...] = self._host
        return out

    def set(self, host: np.ndarray) -> None:
        """Overwrite by a host array that fits."""
        self._fits(host)
        self._host[...] = host

    def _fits(self, host: np.ndarray) -> None:
        if type(host) is not np.ndarray or host.dtype != self._host.dtype:
            raise TypeError("a device array is exchanged with a host array of its own dtype")
        if host.shape != self._host.shape or not (host.flags.c_contiguous and self._host.flags.c_contiguous):
            raise ValueError("a device array is exchanged with a host array of its own shape, both contiguous")

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("a device array does not become a host array silently")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            raise TypeError(f"ufunc.{method} is not in the vocabulary")
        return _wrap(ufunc(*map(_unwrap, inputs), **{k: _unwrap(v) for k, v in kwargs.items()}))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _wrap(function(*_unwrap(args), **{k: _unwrap(v) for k, v in kwargs.items()}))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # no interface by which NumPy could read the memory
        attribute = getattr(self._host, name)
        if callable(attribute) and not isinstance(attribute, np.dtype):
            return lambda *a, **k: _wrap(attribute(*_unwrap(a), **{n: _unwrap(v) for n, v in k.items()}))
        return _wrap(attribute)

    def __getitem__(self, key: Any) -> Any:
        return _wrap(self._host[_unwrap(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._host[_unwrap(key)] = _unwrap(value)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return (_wrap(row) for row in self._host)

    def __bool__(self) -> bool:
        raise TypeError("a device array is not read on the host except through get")

    __float__ = __int__ = __index__ = __bool__


def _operator(name: str, in_place: bool = False) -> Any:
    def apply(self: DeviceArray, *others: Any) -> Any:
        others = tuple(_unwrap(o) for o in others)
        result = getattr(self._host, name)(*others)
        return self if in_place else _wrap(result)

    return apply


for _name in ("add", "sub", "mul", "truediv", "matmul", "pow"):
    setattr(DeviceArray, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(DeviceArray, f"__r{_name}__", _operator(f"__r{_name}__"))
    setattr(DeviceArray, f"__i{_name}__", _operator(f"__i{_name}__", in_place=True))
for _name in ("neg", "invert", "lt", "le", "gt", "ge", "eq", "ne", "and", "or"):
    setattr(DeviceArray, f"__{_name}__", _operator(f"__{_name}__"))
DeviceArray.__hash__ = None  # type: ignore[assignment]


def _wrap(value: Any) -> Any:
    """Whatever NumPy computes from device arrays stays on the device, scalars too."""
    if isinstance(value, (np.ndarray, np.generic)):
        return DeviceArray(np.asarray(value))
    if isinstance(value, tuple) and any(isinstance(v, (np.ndarray, np.generic)) for v in value):
        return tuple(map(_wrap, value))
    return value


def _unwrap(value: Any) -> Any:
    if isinstance(value, DeviceArray):
        return value._host
    if isinstance(value, (tuple, list)):
        return type(value)(map(_unwrap, value))
    if isinstance(value, (np.ndarray, np.generic)):
        raise TypeError("a device array does not mix with a host array")
    return value


def device(dtype: str = "float32") -> Device:
    """A ``Device`` whose array module is this one."""
    made = {name: (lambda f: lambda *a, **k: _wrap(f(*a, **k)))(getattr(np, name)) for name in MADE_FROM_NOTHING}
    stream = SimpleNamespace(synchronize=lambda: None)
    cuda = SimpleNamespace(get_current_stream=lambda: stream)
    return Device(SimpleNamespace(**made, cuda=cuda), np.dtype(dtype))  # type: ignore[arg-type]
