"""Keeps the numbers in a caller's JSON exactly as they were written."""

import msgspec


def as_written(number: str) -> msgspec.Raw:
    """The `float_hook` of decoders: a number with a fraction or an exponent that is encoded as the same digits again.

    A float would change the digits: 1.50 to 1.5, 1e-400 to 0.0. Integers are exact without this.
    """
    return msgspec.Raw(number.encode())
