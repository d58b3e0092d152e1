"""Lists by the page: what clients say of the page they want, and how a page is answered."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, TypeVar

from litestar.openapi.spec import Operation, Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter
from msgspec import Raw

from wallet.http.edge.needs import needs
from wallet.http.operations.resource_answers import PageAnswer
from wallet.http.routes.shared import FILTERS_MEMBERS
from wallet.http.wire.decoding import malformed
from wallet.http.wire.encoding import written
from wallet.http.wire.query import MEMBER
from wallet.service.access.callers import Scope
from wallet.service.reads.filters import MEMBER_LENGTH_MAX
from wallet.service.reads.pages import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX, Page, PageRequest
from wallet.service.turns import Turn

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
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DIGITS_MAX = 18


def page_request(limit: str | None, cursor: str | None, offset: str | None = None) -> PageRequest:
    """The page asked for. Raises Malformed for what is no number; service.reads.pages says whether it is in range."""
    return PageRequest(
        limit=None if limit is None else number("limit", limit),
        cursor=cursor,
        offset=None if offset is None else number("offset", offset),
    )


@dataclass
class _FilteredByMembers(Operation):
    """An operation with a parameter whose name has a part that the client chooses, which no signature can have."""

    def __post_init__(self) -> None:
        self.parameters = [
            *(self.parameters or ()),
            Parameter(
                name=f"{MEMBER}<key>",
                param_in="query",
                description="Only those whose metadata has this member at the top: text, a number as it is written, or "
                f"true or false. Up to {MEMBER_LENGTH_MAX} characters; one such filter at a time.",
                schema=Schema(type=OpenAPIType.STRING, max_length=MEMBER_LENGTH_MAX),
            ),
        ]


def filtered_by_members(*scopes: Scope) -> dict[str, Any]:
    """The arguments for the decorator of a route that needs one of these scopes, and whose list metadata can filter."""
    return {"operation_class": _FilteredByMembers, "opt": {FILTERS_MEMBERS: True} | needs(*scopes)}


def page_answer(page: Page[_Row], answer: Callable[[_Row], _Answer]) -> PageAnswer[_Answer]:
    return PageAnswer(data=[answer(row) for row in page.data], next=page.next, has_more=page.has_more)


async def written_page(
    page: Page[_Row], answer: Callable[[_Row], _Answer], *, amounts_as_strings: bool = False
) -> bytes:
    """The JSON of the same, where a row may have a hundred entries: others get their turn in between."""
    rows: list[Raw] = []
    turn = Turn()
    for row in page.data:
        await turn.make_way()
        rows.append(Raw(written(answer(row), amounts_as_strings=amounts_as_strings)))
    return written(PageAnswer(data=rows, next=page.next, has_more=page.has_more))


def plain_text(name: str, text: str, *, length_max: int) -> str:
    """Text from a query, such as a body could have carried. Raises Malformed."""
    if not 0 < len(text) <= length_max or _CONTROL_CHARACTER.search(text):
        raise malformed(name, f"Must be 1 to {length_max} characters without control characters.")
    return text


def number(name: str, text: str) -> int:
    """A number from a path or query, read by our own rules. Raises Malformed."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise malformed(name, "Must be a number.")
    return int(text)
