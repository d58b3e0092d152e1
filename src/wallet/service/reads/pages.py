"""Pages of lists: their bounds, and the cursors by which they go on."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Generic, TypeAlias, TypeVar
from uuid import UUID

from wallet.errors import FieldError, Malformed
from wallet.service.reads.cursors import Cursors
from wallet.storage.rows.ids import parse_id

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 200
OFFSET_MAX: Final = 10_000

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """A part of a list. `next` is the cursor of the following page, None when there is none.

    A page may have fewer rows than its limit although more follow: a filter found few rows among many.
    """

    data: Sequence[Row]
    next: str | None
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """The page that is asked for. None: not said. Only the two lists that promise it take an offset."""

    limit: int | None = None
    cursor: str | None = None
    offset: int | None = None


FIRST_PAGE: Final = PageRequest()

Key: TypeAlias = Sequence[Any]
"""Of a row in the order of its list: texts and numbers (service.reads.cursors)."""

WalkFrom: TypeAlias = Callable[[Key | None, int, int], Awaitable[tuple[Sequence[Row], Key | None]]]
"""Its arguments are a key, the most rows, and the rows to skip. It finds the rows after the key, and the key at which
they end, or None if nothing follows.
"""

Fetch: TypeAlias = Callable[[Key | None, int, int], Awaitable[Sequence[Row]]]
"""Its arguments are a key, the most rows, and the rows to skip. It finds the rows after the key."""

RowsById: TypeAlias = Callable[[UUID | None, int], Awaitable[Sequence[Row]]]
"""Its arguments are an id and the most rows. It finds the rows after the id."""


class Pages:
    """Makes pages of rows. Raises Malformed (limit, offset, cursor)."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    async def of(
        self,
        list_name: str,
        filters: Mapping[str, str],
        page: PageRequest,
        walk: WalkFrom[Row],
        *,
        takes_offset: bool = False,
    ) -> Page[Row]:
        """A page of any list. No cursor of another list, or of other filters, is taken."""
        limit = _limit_of(page, takes_offset=takes_offset)
        key = None if page.cursor is None else self._cursors.read(page.cursor, list_name, filters)
        rows, end = await walk(key, limit, page.offset or 0)
        cursor = None if end is None else self._cursors.sign(list_name, filters, end)
        return Page(data=rows, next=cursor, has_more=end is not None)

    async def by_key(
        self,
        list_name: str,
        filters: Mapping[str, str],
        page: PageRequest,
        fetch: Fetch[Row],
        key_of_row: Callable[[Row], Key],
        *,
        takes_offset: bool = False,
    ) -> Page[Row]:
        """A page of a list whose rows have their own keys."""

        async def walk(key: Key | None, limit: int, skip: int) -> tuple[Sequence[Row], Key | None]:
            # One row more than the page has tells whether there is a next one.
            rows = await fetch(key, limit + 1, skip)
            return rows[:limit], key_of_row(rows[limit - 1]) if len(rows) > limit else None

        return await self.of(list_name, filters, page, walk, takes_offset=takes_offset)

    async def by_id(
        self,
        list_name: str,
        filters: Mapping[str, str],
        page: PageRequest,
        rows: RowsById[Row],
        id_of: Callable[[Row], UUID] = attrgetter("id"),
    ) -> Page[Row]:
        """A page of a list in the order of ids."""

        async def fetch(key: Key | None, limit: int, _: int) -> Sequence[Row]:
            return await rows(parse_id(key[0]) if key else None, limit)

        return await self.by_key(list_name, filters, page, fetch, lambda row: (str(id_of(row)),))


def _limit_of(page: PageRequest, *, takes_offset: bool) -> int:
    """The most rows of the page. Raises Malformed for an impossible page."""
    limit = LIMIT_DEFAULT if page.limit is None else page.limit
    errors = []
    if not 1 <= limit <= LIMIT_MAX:
        errors.append(FieldError("limit", f"must be between 1 and {LIMIT_MAX}"))
    if page.offset is not None:
        if not takes_offset:
            errors.append(FieldError("offset", "is not taken by this list: go on with the cursor in `next`"))
        elif page.cursor is not None:
            errors.append(FieldError("offset", "cannot be combined with a cursor"))
        elif page.offset > OFFSET_MAX:
            errors.append(FieldError("offset", f"must be at most {OFFSET_MAX}: go on with the cursor in `next`"))
        elif page.offset < 0:
            errors.append(FieldError("offset", "must not be negative"))
    if errors:
        raise Malformed(errors)
    return limit
