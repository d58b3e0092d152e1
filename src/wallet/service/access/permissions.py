"""The requests that a caller may send, and the parts of answers that it may see.

Scopes say which kinds of requests a key may send (scopes). A key that is bound to a user or to wallets debits and sees
those only: for it, all others do not exist. This module decides that before the ledger is asked, by whether a wallet is
the caller's own, and so in the same way for a wallet of somebody else and for one that does not exist. Movements of a
bound key carry lots, so that no credit gets better by being moved.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from wallet.errors import Forbidden, NotFound, OutcomeUnknown, StorageUnavailable, WalletError
from wallet.ledger.model import HoldId, Posted, ProgrammeId, WalletId, WalletKind
from wallet.ledger.outcomes import Applied, Grouped, Outcome, Predicted, RefusalCode, Refused, Replayed
from wallet.ledger.requests import Single, legs_of
from wallet.service.access.callers import Caller, Scope
from wallet.service.access.kinds import access_of, scopes_needed
from wallet.service.access.masking import masked, masked_posted, wallets_of, wallets_shown
from wallet.service.access.ownership import Ownership
from wallet.service.access.scopes import ISSUE, MOVES, forbidden, scopes_of
from wallet.service.turns import parts

Admitted: TypeAlias = Single | Refused | Forbidden
"""A request as it may be submitted; or its refusal, as if something that it names did not exist; or the error that its
scopes are missing.
"""

PART_LEGS_MAX: Final = 1_000
"""The legs, or entries, that are checked before others in the process get their turn: some milliseconds of work."""


class _Facts(NamedTuple):
    """The facts about the wallets and holds that requests name. `system`: the debited system wallets."""

    own: frozenset[WalletId]
    homes: Mapping[HoldId, WalletId]
    system: frozenset[WalletId]


class Permissions:
    """The decisions about callers. Methods raise StorageUnavailable if they have to ask the database and cannot."""

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership

    async def admit(self, caller: Caller, request: Single) -> Single | Refused:
        """The request as this caller may submit it, with its origin.

        It is refused, as the ledger would refuse it, if a bound caller names a wallet or hold that is not its own.
        Raises Forbidden. For an unbound caller that may issue, it asks nothing.
        """
        if self.admits_at_once(caller, request):
            return request
        (admitted,) = await self._admit_part(caller, (request,))
        if isinstance(admitted, Forbidden):
            raise admitted
        return admitted

    def admits_at_once(self, caller: Caller, request: Single) -> bool:
        """Whether it is known without asking that a request may be submitted as it is."""
        return (
            caller.user_id is None
            and caller.wallet_ids is None
            and caller.scopes >= ISSUE
            and caller.scopes >= scopes_needed(request)
        )

    def admits_everything(self, caller: Caller) -> bool:
        """Whether admit_all would let all items pass as they are."""
        return not caller.is_bound and caller.scopes >= MOVES

    async def admit_all(self, caller: Caller, requests: Sequence[Single]) -> list[Admitted]:
        """The same for many requests, one for one."""
        admitted: list[Admitted] = []
        for part in parts(requests, weight_of=legs_of, weight_max=PART_LEGS_MAX):
            admitted += await self._admit_part(caller, part)
            await asyncio.sleep(0)
        return admitted

    async def _admit_part(self, caller: Caller, requests: Sequence[Single]) -> list[Admitted]:
        """The same, by one query each about wallets, holds and references."""
        scopes = scopes_of(caller)
        lacking = [scopes_needed(request) - scopes for request in requests]
        let_in = [request for request, lacks in zip(requests, lacking, strict=True) if not lacks]
        facts = await self._facts(caller, let_in)
        admitted: list[Admitted] = []
        for request, lacks in zip(requests, lacking, strict=True):
            if lacks:
                admitted.append(forbidden(lacks))
            elif caller.is_bound:
                admitted.append(_first_not_there(request, facts) or _of_bound(caller, request))
            elif Scope.ISSUE not in scopes and any(wallet in facts.system for wallet in _debited(request)):
                admitted.append(forbidden((Scope.ISSUE,)))
            else:
                admitted.append(request)
        return await self._let_repeated(caller, requests, admitted) if caller.is_bound else admitted

    async def mask(self, caller: Caller, outcome: Outcome) -> Outcome:
        """An outcome as a bound caller may see it. Raises OutcomeUnknown if that cannot be found out, since the
        movement may have been applied.
        """
        (told,) = await self.mask_each(caller, (outcome,))
        if isinstance(told, WalletError):
            raise told
        return told

    async def mask_each(self, caller: Caller, outcomes: Sequence[Outcome | WalletError]) -> list[Outcome | WalletError]:
        """The same for many outcomes, one for one: as the caller may see it, or the error why that is unknown."""
        told: list[Outcome | WalletError] = []
        for part in parts(outcomes, weight_of=_entries, weight_max=PART_LEGS_MAX):
            try:
                told += await self._masked(caller, part)
            except StorageUnavailable as error:
                told += [_untold(outcome, error) for outcome in part]
            await asyncio.sleep(0)
        return told

    async def mask_group(self, caller: Caller, grouped: Grouped) -> Grouped:
        """The same for a group. Raises OutcomeUnknown or StorageUnavailable if that cannot be found out."""
        told: list[Any] = []
        try:
            for part in parts(grouped.outcomes, weight_of=_entries, weight_max=PART_LEGS_MAX):
                told += await self._masked(caller, part)
                await asyncio.sleep(0)
        except StorageUnavailable as error:
            raise _untold(grouped, error) from error
        return Grouped(tuple(told))

    async def _masked(self, caller: Caller, outcomes: Sequence[Outcome | WalletError]) -> list[Outcome | WalletError]:
        shown = {
            wallet_id
            for outcome in outcomes
            if not isinstance(outcome, WalletError)
            for wallet_id in wallets_shown(outcome)
        }
        own = await self._ownership.own(caller, shown)
        return [outcome if isinstance(outcome, WalletError) else masked(outcome, own) for outcome in outcomes]

    async def mask_all(self, caller: Caller, transactions: Sequence[Posted]) -> Sequence[Posted]:
        """Transactions that a caller may see, as it may see them."""
        if not caller.is_bound:
            return transactions
        told: list[Posted] = []
        for part in parts(transactions, weight_of=_entries_of, weight_max=PART_LEGS_MAX):
            own = await self._ownership.own(caller, {wallet_id for posted in part for wallet_id in wallets_of(posted)})
            told += [masked_posted(posted, own) for posted in part]
            await asyncio.sleep(0)
        return told

    async def ensure_sees_wallet(self, caller: Caller, wallet_id: WalletId) -> None:
        """Raise NotFound for a bound caller unless the wallet is its own."""
        if caller.is_bound and wallet_id not in await self._ownership.own(caller, (wallet_id,)):
            raise NotFound("wallet_not_found", f"there is no wallet {wallet_id}")

    async def ensure_sees_attachment(self, caller: Caller, programme_id: ProgrammeId, wallet_id: WalletId) -> None:
        """Raise NotFound for a bound caller unless the wallet is its own."""
        if caller.is_bound and wallet_id not in await self._ownership.own(caller, (wallet_id,)):
            raise NotFound("programme_not_found", f"wallet {wallet_id} is not attached to programme {programme_id}")

    async def own(self, caller: Caller, wallet_ids: Iterable[WalletId]) -> frozenset[WalletId]:
        """Those of these wallets that are a bound caller's own."""
        return await self._ownership.own(caller, wallet_ids)

    async def all_own(self, caller: Caller) -> Sequence[WalletId]:
        """All wallets of a bound caller, in order of id."""
        return await self._ownership.all_own(caller)

    async def _facts(self, caller: Caller, requests: Sequence[Single]) -> _Facts:
        if not caller.is_bound:
            if Scope.ISSUE in caller.scopes:
                return _NO_FACTS
            owners = await self._ownership.owners({wallet for request in requests for wallet in _debited(request)})
            system = (wallet for wallet, owner in owners.items() if owner.kind is not WalletKind.USER)
            return _Facts(frozenset(), {}, frozenset(system))
        homes = await self._ownership.homes({hold_id for request in requests for hold_id in _holds_named(request)})
        named = {wallet for request in requests for wallet in _looked_into(request)}
        return _Facts(await self._ownership.own(caller, named | set(homes.values())), homes, frozenset())

    async def _let_repeated(
        self, caller: Caller, requests: Sequence[Single], admitted: list[Admitted]
    ) -> list[Admitted]:
        """The same requests, but a refused one is submitted if its reference is used. A caller may hear again of
        everything that was posted under a reference of its own, whatever became of wallets and bindings since: the
        ledger answers such a request from history, and moves nothing.
        """
        refused = {
            request.reference_id for request, each in zip(requests, admitted, strict=True) if isinstance(each, Refused)
        }
        if not refused:
            return admitted
        used = await self._ownership.references_used(caller.origin, refused)
        return [
            _of_bound(caller, request) if isinstance(each, Refused) and request.reference_id in used else each
            for request, each in zip(requests, admitted, strict=True)
        ]


def _entries(outcome: Outcome | WalletError) -> int:
    return _entries_of(outcome.posted) if isinstance(outcome, Applied | Replayed | Predicted) else 1


def _entries_of(posted: Posted) -> int:
    return len(posted.entries)


def _untold(outcome: Outcome | WalletError, error: StorageUnavailable) -> WalletError:
    if isinstance(outcome, WalletError):
        return outcome
    if isinstance(outcome, Refused) or (isinstance(outcome, Grouped) and outcome.is_refused):
        return StorageUnavailable(str(error))
    return OutcomeUnknown("the answer could not be written")


_NO_FACTS: Final = _Facts(frozenset(), {}, frozenset())


def _debited(request: Single) -> Iterable[WalletId]:
    wallets: Iterable[WalletId] = access_of(request).debits(request)
    return wallets


def _looked_into(request: Single) -> Iterator[WalletId]:
    """The wallets that a request of a bound caller debits, or whose numbers it asks for."""
    yield from access_of(request).others(request)
    yield from _debited(request)
    for condition in request.options.conditions:
        yield condition.wallet_id


def _holds_named(request: Single) -> Iterable[HoldId]:
    holds: Iterable[HoldId] = access_of(request).holds(request)
    return holds


def _of_bound(caller: Caller, request: Single) -> Single:
    """The request as a bound caller submits it: in its own origin, and with lots that are carried."""
    changes: dict[str, Any] = {"origin": caller.origin}
    if "carries_lots" in request._fields:
        changes["carries_lots"] = True
    return request._replace(**changes)


def _first_not_there(request: Single, facts: _Facts) -> Refused | None:
    """The ledger's refusal as if the first wallet or hold that is not the caller's own did not exist."""
    for hold_id in _holds_named(request):
        if facts.homes.get(hold_id) not in facts.own:
            return access_of(request).not_found(hold_id)
    for wallet_id in _looked_into(request):
        if wallet_id not in facts.own:
            return Refused(RefusalCode.WALLET_NOT_FOUND, f"There is no wallet {wallet_id}.", wallet_id)
    return None
