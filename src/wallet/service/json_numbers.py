"""Numbers of a caller's JSON, kept as they were written."""

import msgspec


def as_written(number: str) -> msgspec.Raw:
    """A number with a fraction or an exponent, for decoders (`float_hook`): encoded, it is the same digits again.

    A float would change them: 1.50 to 1.5, 1e-400 to 0.0. Integers are exact without it.
    """
    return msgspec.Raw(number.encode())
