"""Claims: their codes, which the service makes, shows once, and knows by their hashes from then on.

A code goes from here into the answer that places its claim, and nowhere else: not into a request of the ledger, a
log, or the database.
"""

import secrets
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from wallet.errors import NotFound
from wallet.ledger.model import Hold, HoldId
from wallet.ledger.outcomes import Applied, Outcome, RefusalCode, Refused
from wallet.ledger.requests import PlaceClaim, RedeemClaim, Single
from wallet.service.access.callers import Caller
from wallet.service.access.guesses import Guesses
from wallet.service.reads.lists import Reads
from wallet.storage.reads.claim_codes import ClaimCodeStore

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter that looks like a digit, and no U, which makes words."""
_READ_AS: Final = str.maketrans("OIL", "011", "- ")
"""Letters that people write for digits. They also put dashes or spaces between groups, or leave these out."""
GROUPS: Final = 5
GROUP_LENGTH: Final = 5

Perform: TypeAlias = Callable[[Caller, Single], Awaitable[Outcome]]


class Placed(NamedTuple):
    """The outcome of placing a claim. code: None where none is to be shown, as in a replay or a dry run."""

    request: PlaceClaim
    outcome: Outcome
    code: str | None


class Claims:
    """perform: submits a request of a caller, and answers the outcome as that caller may see it."""

    def __init__(self, codes: ClaimCodeStore, guesses: Guesses, perform: Perform) -> None:
        self._codes = codes
        self._guesses = guesses
        self._perform = perform

    async def place(self, caller: Caller, make: Callable[[bytes], PlaceClaim]) -> Placed:
        """Place a claim with a new code. `make`: the request, of the code's hash."""
        code = new_code()
        request = make(hash_of(code))
        outcome = await self._perform(caller, request)
        # The code of a replayed claim was made by its first try, and is gone.
        return Placed(request, outcome, code if isinstance(outcome, Applied) else None)

    async def redeem(
        self, caller: Caller, code: str, make: Callable[[HoldId], RedeemClaim]
    ) -> tuple[RedeemClaim, Outcome]:
        """Redeem the claim that has this code. `make`: the request, of the claim's id.

        Raises RateLimited for a caller that was wrong too often.
        """
        self._guesses.ensure_may_try(caller)
        code_hash = hash_of(code)
        found = await self._codes.claim_with(code_hash)
        # An unknown code stands for a claim that does not exist. So the ledger answers it like all others, after the
        # same work, and a used reference is answered as such.
        request = make(UUID(bytes=code_hash[:16]) if found is None else found)
        outcome = await self._perform(caller, request)
        if isinstance(outcome, Refused) and outcome.code is RefusalCode.CLAIM_NOT_FOUND:
            self._guesses.note_wrong(caller)
        return request, outcome

    async def claim(self, reads: Reads, claim_id: HoldId) -> Hold:
        """The claim's hold, as these reads see it. Raises NotFound for another hold, too."""
        try:
            hold = await reads.hold(claim_id)
        except NotFound:
            hold = None
        if hold is None or hold.claim is None:
            raise NotFound("claim_not_found", f"there is no claim {claim_id}")
        return hold


def new_code() -> str:
    """Five groups of five characters: 125 random bits."""
    letters = [secrets.choice(_ALPHABET) for _ in range(GROUPS * GROUP_LENGTH)]
    return "-".join("".join(letters[at : at + GROUP_LENGTH]) for at in range(0, len(letters), GROUP_LENGTH))


def hash_of(code: str) -> bytes:
    """SHA-256 of a code, in whatever case and groups it was written. Any other text has one, too."""
    return sha256(code.upper().translate(_READ_AS).encode("utf-8", "surrogatepass")).digest()
