"""Chunks of a batch or an import: items that are read together, decided in one database transaction, and answered.

Reading and answering make way for others in this process after every few items.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from wallet.errors import Malformed, WalletError
from wallet.http.bulk.items import ItemAnswer, Items, no_answer, reference_of
from wallet.http.bulk.lines import LINE_BYTES_MAX
from wallet.http.wire.decoding import malformed
from wallet.ledger.outcomes import Applied, Predicted, Refused, Replayed
from wallet.ledger.requests import Single
from wallet.service.access.callers import Caller
from wallet.service.access.permissions import Admitted
from wallet.service.turns import Turn
from wallet.service.writes.bulk import Bulk, Chunk

READ_ITEMS_MAX: Final = 50
"""The items that are read in one turn: well below a millisecond of work."""

READ_BYTES_MAX: Final = 64 * 1024
"""The bytes of text that are read in one turn, even if they have few items: 15 ms, if all of it has to be refused."""

ITEM_ERRORS_MAX: Final = 10
"""The errors that are listed for a malformed item: an answer must not be much longer than its item."""

_WITHOUT_BODY: Final[Mapping[type, ItemAnswer]] = {
    Applied: ItemAnswer(201, False, b""),
    Replayed: ItemAnswer(200, True, b""),
    Predicted: ItemAnswer(200, False, b""),
}


class Item(NamedTuple):
    """An item as it was read: its place, its reference if it has one, and its request or its errors.

    denied: its outcome without asking the ledger, if its caller may not send it.
    """

    place: int
    reference_id: str | None
    request: Single | Malformed
    denied: Refused | WalletError | None = None


class AnsweredItem(NamedTuple):
    """An item and its outcome."""

    item: Item
    answer: ItemAnswer


def turn_to_read() -> Turn:
    """A turn in which items are read, each of them as much work as `reading_of` says."""
    return Turn(work_max=READ_BYTES_MAX)


def reading_of(text: bytes) -> int:
    """The work of reading an item: its bytes, but at least the share that every item costs."""
    return max(len(text), READ_BYTES_MAX // READ_ITEMS_MAX)


async def read_items(
    items: Items, texts: Iterable[tuple[int, bytes | None]], caller: Caller, *, dry_run: bool = False
) -> list[Item]:
    """The items at these places, as this caller may send them. A text that was too long to be kept is None."""
    made: list[Item] = []
    turn = turn_to_read()
    for place, text in texts:
        await turn.make_way(reading_of(text or b""))
        if text is None:
            made.append(Item(place, None, malformed("", f"A line may have {LINE_BYTES_MAX} bytes.")))
        else:
            try:
                request = items.request(text, dry_run=dry_run)
                made.append(Item(place, request.reference_id, request))
            except Malformed as error:
                # A new one: the traceback of this one leads to this frame, which leads to it again.
                made.append(Item(place, reference_of(text), Malformed(error.errors[:ITEM_ERRORS_MAX])))
    return await _admitted(items, made, caller)


async def _admitted(items: Items, made: list[Item], caller: Caller) -> list[Item]:
    requests = [item.request for item in made if not isinstance(item.request, Malformed)]
    admitted = await items.admit(caller, requests)
    if admitted is requests:
        return made
    rest = iter(admitted)
    return [item if isinstance(item.request, Malformed) else _with(item, next(rest)) for item in made]


def _with(item: Item, admitted: Admitted | WalletError) -> Item:
    if isinstance(admitted, Refused | WalletError):
        return item._replace(denied=admitted)
    return item._replace(request=admitted)


class ItemChunk:
    """Items under way."""

    def __init__(self, items: Sequence[Item], chunk: Chunk) -> None:
        self._items = items
        self._chunk = chunk

    @classmethod
    async def begin(cls, bulk: Bulk, items: Sequence[Item]) -> "ItemChunk":
        """Have the items decided, in order, after all that was begun before. Waits for a place in the queue."""
        requests = [item.request for item in items if item.denied is None and not isinstance(item.request, Malformed)]
        return cls(items, await bulk.begin(requests))

    @property
    def refusal(self) -> WalletError | None:
        """The reason why nothing of the chunk was begun; None if it was."""
        return self._chunk.refusal

    async def answered(
        self, maker: Items, caller: Caller, *, request_id: str, amounts_as_strings: bool, failures_only: bool = False
    ) -> list[AnsweredItem]:
        """All of the items, in order, once they are decided. `failures_only`: successes have no body."""
        outcomes = await maker.mask(caller, await self._chunk.answers())
        if not failures_only:
            await maker.prepare_answers(outcomes)
        rest = iter(outcomes)
        answered: list[AnsweredItem] = []
        turn = Turn()
        for item in self._items:
            await turn.make_way()
            if isinstance(item.request, Malformed):
                answer = no_answer(item.request, request_id=request_id)
            else:
                outcome = next(rest) if item.denied is None else item.denied
                answer = (failures_only and _WITHOUT_BODY.get(type(outcome))) or maker.answer(
                    item.request, outcome, request_id=request_id, amounts_as_strings=amounts_as_strings
                )
            answered.append(AnsweredItem(item, answer))
        return answered
