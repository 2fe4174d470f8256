"""What NumPy's arrays do not offer to a compiled loop: loads of eight bytes at once, their products, prefetches.

Buffers are told by the address of their first byte (`array.ctypes.data`, which the caller keeps alive): an array
that is handed from function to function is counted at each, which costs more than what is done with it.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

PAD_BYTES = 8
"""What a buffer needs behind its last byte, so that a load there stays inside of it."""


def _loader(bits: int) -> Any:
    def load(_context: Any, base: Any, at: Any) -> Any:  # noqa: ARG001  # Numba reads the names
        def code(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            address = builder.add(arguments[0], arguments[1])
            word = builder.load(builder.inttoptr(address, ir.IntType(bits).as_pointer()), align=1)
            if sys.byteorder == "big" and bits > 8:
                word = builder.bswap(word)
            return builder.zext(word, ir.IntType(64)) if bits < 64 else word

        return (types.uint64 if bits > 8 else types.int64)(types.intp, types.intp), code

    return intrinsic(load)


load64 = _loader(64)
"""`load64(base, at)`: eight bytes, the first one lowest. Nothing checks that they are there."""

load32 = _loader(32)
"""`load32(base, at)`: four bytes, likewise."""

load8 = _loader(8)
"""`load8(base, at)`: one byte, as a signed number so that it compares with places and characters."""


@intrinsic
def fold_product(_context: Any, left: Any, right: Any) -> Any:
    """Return the lower half of the 128-bit product of two words, xor its upper half."""

    def code(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(arguments[0], wide), builder.zext(arguments[1], wide))
        folded = builder.xor(product, builder.lshr(product, ir.Constant(wide, 64)))
        return builder.trunc(folded, ir.IntType(64))

    return types.uint64(left, right), code


@intrinsic
def swap_bytes(_context: Any, word: Any) -> Any:
    """Return a word with its bytes turned round."""

    def code(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bswap(arguments[0])

    return types.uint64(word), code


@intrinsic
def trailing_zeros(_context: Any, word: Any) -> Any:
    """Return how many of a word's lowest bits are 0; 64 for 0."""

    def code(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(word), code


@intrinsic
def _prefetch(_context: Any, address: Any) -> Any:  # noqa: ARG001  # Numba reads the name
    def code(target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        # To read, to be kept as near as can be, of data.
        told = [ir.Constant(number, value) for value in (0, 3, 1)]
        builder.call(function, [builder.inttoptr(arguments[0], pointer), *told])
        return target.get_dummy_value()

    return types.void(types.intp), code


def prefetch(address: int) -> None:
    """Ask for the cache line at an address and do not wait for it; not compiled it does nothing."""


@overload(prefetch)
def _compiled_prefetch(address: Any) -> Any:  # noqa: ARG001  # Numba reads the name
    def asked(address: Any) -> Any:
        return _prefetch(address)

    return asked
