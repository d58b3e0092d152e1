"""From the pieces in which a body arrives to its lines."""

import codecs
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

LINE_BYTES_MAX: Final = 64 * 1024
"""Of one line, without its line feed."""


class Line(NamedTuple):
    """`place` counts every line from 0, blank ones included. `text` is None where it was too long to be kept."""

    place: int
    text: bytes | None


class Lines:
    """Takes pieces and gives lines, without blank ones and a byte order mark at the beginning. A line beyond
    LINE_BYTES_MAX is not kept, but counted.
    """

    def __init__(self) -> None:
        self._whole: deque[Line] = deque()
        self._unfinished = b""
        self._next_place = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        *whole, rest = piece.split(b"\n")
        for text in whole:
            self._add(self._unfinished + text if self._unfinished else text)
            self._unfinished = b""
        # One byte beyond the bound is enough to refuse a line. A byte order mark before it does not count.
        self._unfinished = (self._unfinished + rest)[: len(codecs.BOM_UTF8) + LINE_BYTES_MAX + 1]

    def end(self) -> None:
        """Note that the body has ended: the rest without a line feed is a line, too."""
        self._add(self._unfinished)
        self._unfinished = b""

    def __len__(self) -> int:
        return len(self._whole)

    @property
    def next_place(self) -> int:
        """The place of the next line that has not been taken."""
        return self._whole[0].place if self._whole else self._next_place

    def take(self, *, lines_max: int, bytes_max: int) -> Sequence[Line]:
        """The next lines, at least one if there is any."""
        taken: list[Line] = []
        bytes_left = bytes_max
        while self._whole and len(taken) < lines_max:
            text = self._whole[0].text
            bytes_left -= 0 if text is None else len(text)
            if bytes_left < 0 and taken:
                break
            taken.append(self._whole.popleft())
        return taken

    def _add(self, text: bytes) -> None:
        place = self._next_place
        self._next_place += 1
        if place == 0:
            text = text.removeprefix(codecs.BOM_UTF8)
        if len(text) > LINE_BYTES_MAX:
            self._whole.append(Line(place, None))
        elif not text.isspace() and text:
            self._whole.append(Line(place, text))
