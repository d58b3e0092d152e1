"""libpq itself, asked how it takes a URL apart. It connects to nothing."""

import ctypes
import ctypes.util
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.postgres import postgres_bindirs


class _Option(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar")),
        ("dispsize", ctypes.c_int),
    )


@cache
def libraries() -> list[Any]:
    """Every libpq of this machine, the oldest first."""
    paths = [str(bindir.parent / "lib" / "libpq.so.5") for bindir in postgres_bindirs().values()]
    found = []
    for path in filter(None, [ctypes.util.find_library("pq"), *paths]):
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        library.PQconndefaults.restype = library.PQconninfoParse.restype = ctypes.POINTER(_Option)
        library.PQconninfoParse.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)]
        library.PQconninfoFree.argtypes = [ctypes.POINTER(_Option)]
        found.append(library)
    return found


def variables_of(library: Any) -> dict[str, str]:
    """Every parameter that it knows, with the environment variable that stands in for it."""
    options = library.PQconndefaults()
    known = {row.keyword.decode(): (row.envvar or b"").decode() for row in _rows(options)}
    library.PQconninfoFree(options)
    return known


def parsed_by(library: Any, url: str) -> dict[str, str] | None:
    """The parameters that are in the URL; None if it is none to libpq."""
    complaint = ctypes.c_char_p()
    options = library.PQconninfoParse(url.encode(), ctypes.byref(complaint))
    if not options:
        return None
    given = {row.keyword.decode(): row.val.decode() for row in _rows(options) if row.val is not None}
    library.PQconninfoFree(options)
    return given


def _rows(options: Any) -> Iterator[Any]:
    number = 0
    while options[number].keyword:
        yield options[number]
        number += 1
