"""apply_batch: the loop over a batch, idempotency, groups and dry runs. The only place with control flow over requests.

Request n sees the effects of 1..n-1. Splitting a batch anywhere changes nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from wallet.errors import GroupTooLarge, NotAtOnce, ensure
from wallet.ledger.batch import LINES_OF_SEVERAL_MAX, NO_CHANGES, Context, Decision
from wallet.ledger.book import Book
from wallet.ledger.fingerprint import differing_fields, is_same
from wallet.ledger.kinds import kind_of, wallets_judged
from wallet.ledger.model import Posted
from wallet.ledger.movements.due import settle
from wallet.ledger.ordinary import move_if_plain
from wallet.ledger.outcomes import Applied, Grouped, Outcome, Predicted, RefusalCode, Refused, Replayed, Settled
from wallet.ledger.requests import Group, Post, Request, Settle, Single

SingleOutcome: TypeAlias = Applied | Replayed | Predicted | Settled | Refused


def apply_batch(batch: Sequence[Request], context: Context, decided_at: datetime) -> Decision:
    """Decide a batch at one instant. Raises InvariantViolated if a law of the ledger would be broken, GroupTooLarge if
    several requests have more lines than may be decided at once, NotAtOnce if a group does.
    """
    if context.due_until is not None:
        ensure(all(type(request) is Settle for request in batch), "something was to be judged before all due steps")
    book = Book(context, decided_at)
    outcomes: list[Outcome] = []
    for request in batch:
        # Few legs may move many lots back and forth. A single request is bounded by the lots of its wallets.
        if outcomes and book.lines() + book.lines_in_vain > LINES_OF_SEVERAL_MAX:
            raise GroupTooLarge(f"Together these come to more than {LINES_OF_SEVERAL_MAX} lines")
        outcomes.append(_decide(request, book))
    changes = book.changes()
    return Decision(
        tuple(outcomes), tuple(book.posted), book.states, book.deltas, changes if any(changes) else NO_CHANGES
    )


def _decide(request: Request, book: Book) -> Outcome:
    if type(request) is Post:
        # Nearly all requests are Posts, so these come first.
        return _decide_post(request, book)
    if type(request) is Group:
        return _decide_group(request, book)
    return _decide_dry_or_not(request, book)


def _decide_post(post: Post, book: Book) -> SingleOutcome:
    return _applied_if_plain(post, book) or _decide_dry_or_not(post, book)


def _applied_if_plain(post: Post, book: Book) -> Applied | None:
    if (post.origin, post.reference_id) not in book.known and (posted := move_if_plain(post, book)) is not None:
        return Applied(posted)
    return None


def _decide_dry_or_not(request: Single, book: Book) -> SingleOutcome:
    if request.options.dry_run:
        trial = book.copy()
        outcome = _predicted(_decide_single(request, trial))
        book.lines_in_vain = trial.lines_in_vain + trial.lines() - book.lines()
        return outcome
    return _decide_single(request, book)


def _decide_single(request: Single, book: Book) -> SingleOutcome:
    earlier = book.known.get((request.origin, request.reference_id))
    if earlier is not None:
        return _repeat(request, earlier)
    judged = wallets_judged(request, book)
    settle(book, judged)
    kind = kind_of(request)
    refused: Refused | None = kind.first_refusal(request, book)
    if refused is not None:
        book.lines_in_vain += book.lots_at(judged)
        return refused
    posted: Posted | None = kind.move(request, book)
    return Settled(book.due_until is None) if posted is None else Applied(posted)


def _decide_group(group: Group, book: Book) -> Grouped:
    """Apply all items or none. The due steps of its wallets are posted in any case, as before every request."""
    known_before = book.known.copy()
    trial = book.copy()
    before = book.lines()
    lines_max = before + book.group_lines_max
    outcomes: list[SingleOutcome] = []
    for item in group.items:
        # The group decides whether it is a dry run. Then its items are, too, and each sees the effects of those before.
        plain = _applied_if_plain(item, trial) if type(item) is Post else None
        outcomes.append(plain or _decide_single(item, trial))
        if trial.lines() - before > book.group_lines_at_once:
            raise NotAtOnce(f"The group comes to more than {book.group_lines_at_once} lines")
        if trial.lines() > lines_max and not isinstance(outcomes[-1], Refused):
            outcomes[-1] = _too_large(book.group_lines_max)
        if isinstance(outcomes[-1], Refused):
            break
    else:
        if not group.options.dry_run:
            book.adopt(trial)
            return Grouped(tuple(outcomes))
        book.lines_in_vain = trial.lines_in_vain + trial.lines() - book.lines()
        return Grouped(tuple(map(_predicted, outcomes)))
    book.lines_in_vain = trial.lines_in_vain + trial.lines() - book.lines()
    if not group.options.dry_run:
        for item in group.items:
            settle(book, wallets_judged(item, book))
    return Grouped(tuple(_of_refused_group(group, outcomes, known_before)))


def _too_large(lines_max: int) -> Refused:
    detail = f"With it the group comes to more than {lines_max} entries, steps of holds, and parts of lots."
    return Refused(RefusalCode.GROUP_TOO_LARGE, detail)


def _of_refused_group(
    group: Group, outcomes: Sequence[SingleOutcome], known_before: Mapping[tuple[str, str], Posted]
) -> list[SingleOutcome]:
    """The outcomes of a refused group's items: the refusal at its place, replays as they are, and the rest refused."""
    first = len(outcomes) - 1
    detail = f"Nothing was applied, because items[{first}] was refused."
    answers: list[SingleOutcome] = []
    for at, item in enumerate(group.items):
        earlier = known_before.get((item.origin, item.reference_id))
        repeated = None if earlier is None else _repeat(item, earlier)
        if at == first:
            answers.append(outcomes[first])
        elif isinstance(repeated, Applied | Replayed):
            answers.append(repeated)
        else:
            answers.append(Refused(RefusalCode.GROUP_REFUSED, detail))
    return answers


def _predicted(outcome: SingleOutcome) -> SingleOutcome:
    return Predicted(outcome.posted) if isinstance(outcome, Applied) else outcome


def _repeat(request: Single, earlier: Posted) -> Applied | Replayed | Refused:
    if is_same(request.fingerprint, earlier.fingerprint):
        # Each try has an id of its own. An equal one is this very try, which was committed and whose answer was lost.
        return Applied(earlier) if earlier.id == request.id else Replayed(earlier)
    differs = differing_fields(
        known_type=earlier.type,
        known=earlier.fingerprint,
        request_type=request.type,
        request=request.fingerprint,
    )
    detail = f"This reference was used by another request; they differ in {', '.join(differs)}."
    return Refused(RefusalCode.REFERENCE_REUSED, detail, differs=differs)
