"""The one error that this package raises for operands it cannot take."""


class KernelError(ValueError):
    """An operand has the wrong shape, dtype or device, or k does not fit; the message names it."""
