"""The lists that an object of `weft build` has in it (runtime/weft.h), for Python."""
import ctypes

import numpy

DTYPES = [numpy.float64, numpy.float32, None, numpy.float16, numpy.int64, numpy.int32, numpy.uint32, numpy.int8, numpy.uint8, numpy.bool_]
WEIGHTS, STATE, INPUT, SEED, RESULT, REPORT = range(6)


class TensorInfo(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("rank", ctypes.c_int32), ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("offset", ctypes.c_uint64), ("bytes", ctypes.c_uint64)]


class ArgInfo(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("role", ctypes.c_int), ("dtype", ctypes.c_int), ("rank", ctypes.c_int32),
                ("shape", ctypes.POINTER(ctypes.c_int64))]


def aligned(size):
    """A block of zeros at a multiple of 64."""
    block = numpy.zeros(size + 64, numpy.uint8)
    skip = -block.ctypes.data % 64
    return block[skip:skip + size]


def rows_of(library, symbol, kind):
    """The rows of a list up to the one without a name."""
    rows, i = (kind * 100000).in_dll(library, symbol), 0
    while rows[i].name:
        yield rows[i]
        i += 1
