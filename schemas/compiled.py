"""One decorator for every compiled loop, so that all are cached and release the interpreter lock alike."""

from __future__ import annotations

from enum import EnumMeta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np

from schemas.hashing import hash_id

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., Any]")


def compiled(function: Function) -> Function:
    """Compile a loop over arrays with Numba: no Python objects, no interpreter lock, cached on disk.

    It makes no arrays: those that it works on are the caller's, who keeps them, so none of them is counted. Counting
    is an atomic addition for each array at each use, a third of what such a loop takes. One that needs an array of its
    own is `allocating`, or is given one; Numba says "NRT required" where that was forgotten.

    `NUMBA_DISABLE_JIT=1` makes it the plain function again, and `.py_func` is the plain body of one
    compiled function. Division by zero follows NumPy (inf, nan), not Python.

    Numba throws a cached loop away when the file that holds it changes, but not when a function or a constant
    that it took in from another file does, and would then silently run the old one. So the version of a cached
    loop, which Numba compares before it reads anything else of the cache, covers those as well.
    """
    return _compile(function, forceinline=False, counted=False)


def allocating(function: Function) -> Function:
    """Compile as `compiled` does a function that makes arrays, or a set, a list or a copy of an array."""
    return _compile(function, forceinline=False, counted=True)


def inlined(function: Function) -> Function:
    """Compile a part of a loop as `compiled` does, and put it into each caller."""
    return _compile(function, forceinline=True, counted=False)


def _compile(function: Function, *, forceinline: bool, counted: bool) -> Function:
    # Said either way: what is not said is inherited from whoever calls it.
    kernel = numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=forceinline, _nrt=counted)(function)
    cache_file = _cache_file(kernel)
    if cache_file is not None:
        own = (cache_file._source_stamp, _taken_in(function), counted)  # noqa: SLF001 Numba has no public way
        cache_file._version = f"{numba.__version__}-{hash_id(repr(own)):016x}"  # noqa: SLF001
    return cast("Function", kernel)


def _cache_file(kernel: object) -> Any:
    return getattr(getattr(kernel, "_cache", None), "_cache_file", None)


def _taken_in(function: Callable[..., Any]) -> tuple[tuple[str, object], ...]:
    """Return the names that the function's file has by now, each with what makes a difference once it is compiled.

    Not only those that the function uses: what it calls may stand further down in the file, where it is not to be seen
    yet, and what that uses was imported above. What is private was not, and may differ from run to run.
    """
    taken: list[tuple[str, object]] = []
    for name, value in sorted(function.__globals__.items()):
        if name.startswith("_") and name not in function.__code__.co_names:
            continue
        if isinstance(value, (bool, int, float, str, tuple, np.generic)):
            taken.append((name, repr(value)))
        elif isinstance(value, np.ndarray):
            taken.append((name, (value.dtype.str, value.shape, value.tobytes())))
        elif isinstance(value, EnumMeta):
            taken.append((name, repr(list(value))))
        elif (cache_file := _cache_file(value)) is not None:
            taken.append((name, cache_file._version))  # noqa: SLF001
    return tuple(taken)
