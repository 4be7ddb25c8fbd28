"""numba: ask the processor for a line of memory before it is needed.

Imported by numba kernels only.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


@intrinsic
def prefetch(typing, matrix, row, column):
    """Start to load the line that holds matrix[row, column]."""

    def generate(context, builder, signature, operands):
        array = make_array(signature.args[0])(context, builder, operands[0])
        down, right = cgutils.unpack_tuple(builder, array.strides)
        offset = builder.add(builder.mul(operands[1], down), builder.mul(operands[2], right))
        address = builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [offset])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        load = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(load, [address, number(0), number(3), number(1)])  # to read, keep close, data
        return context.get_dummy_value()

    return types.void(matrix, types.intp, types.intp), generate
