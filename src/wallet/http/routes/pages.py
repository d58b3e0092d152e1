"""Lists by the page: what clients say of the page they want, and how a page is answered."""

from collections.abc import Callable
from typing import Annotated, TypeAlias, TypeVar

from litestar.params import QueryParameter

from wallet.http.answers import PageAnswer
from wallet.http.decoding import malformed
from wallet.service.reads import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX, Page, PageRequest

# Text: the framework's rules would take " 1_0" for a number.
Limit: TypeAlias = Annotated[
    str | None, QueryParameter(description=f"Rows in a page, 1 to {LIMIT_MAX}; {LIMIT_DEFAULT} if absent.")
]
Offset: TypeAlias = Annotated[
    str | None, QueryParameter(description=f"Rows to skip, 0 to {OFFSET_MAX}. Further on, use the cursor.")
]
Cursor: TypeAlias = Annotated[str | None, QueryParameter(description="`next` of the page before.")]

_Row = TypeVar("_Row")
_Answer = TypeVar("_Answer")
_DIGITS_MAX = 18


def page_request(limit: str | None, cursor: str | None, offset: str | None = None) -> PageRequest:
    """The page asked for. Raises Malformed for what is no number; whether it is in range is service.reads' word."""
    return PageRequest(
        limit=None if limit is None else number("limit", limit),
        cursor=cursor,
        offset=None if offset is None else number("offset", offset),
    )


def page_answer(page: Page[_Row], answer: Callable[[_Row], _Answer]) -> PageAnswer[_Answer]:
    return PageAnswer(data=[answer(row) for row in page.data], next=page.next, has_more=page.has_more)


def number(name: str, text: str) -> int:
    """A number from a path or query, read by our own rules. Raises Malformed."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise malformed(name, "Must be a number.")
    return int(text)
