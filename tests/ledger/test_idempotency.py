"""One reference, one movement: replays, reuse, and tries whose answer was lost."""

import pytest

from tests.ledger.tables import rows
from tests.ledger.worlds import World, named, post, tried_again, world
from wallet.ledger.outcomes import Applied, Refused, Replayed
from wallet.ledger.requests import Post
from wallet.ledger.transaction_types import GENERAL_FIELDS, TRANSFER_FIELDS, WALLET_MOVEMENT_FIELDS

WALLETS = """
wallet asset balance
alice  GOLD  100
bob    GOLD  0
carol  COIN  40
"""

# One batch, top to bottom: what becomes of each request, and what alice then has.
ONE_BATCH = """
origin reference asset legs            -> outcome              alice
api    r1        GOLD  alice-30,bob+30 -> applied              70
api    r1        GOLD  alice-30,bob+30 -> replayed             70
api    r1        GOLD  alice-31,bob+31 -> reference_reused     70
api    r1        GOLD  alice-30,bob+30 -> replayed             70
api    r2        GOLD  alice-71,bob+71 -> insufficient_funds   70
api    r2        GOLD  alice-71,bob+71 -> insufficient_funds   70
api    r3        GOLD  bob-30,alice+30 -> applied              100
api    r2        GOLD  alice-71,bob+71 -> applied              29
api    r2        GOLD  alice-71,bob+71 -> replayed             29
api    R1        GOLD  alice-1,bob+1   -> applied              28
user:7 r1        GOLD  alice-1,bob+1   -> applied              27
user:7 r1        GOLD  alice-1,bob+1   -> replayed             27
api    r1        GOLD  alice-1,bob+1   -> reference_reused     27
"""


@pytest.fixture
def here() -> World:
    return world(WALLETS)


def requests_of(table: str) -> list[Post]:
    return [post(row["reference"], row["asset"], row["legs"], origin=row["origin"]) for row in rows(table)]


def test_inside_one_batch_each_reference_moves_money_once(here: World) -> None:
    outcomes = here.decide(*requests_of(ONE_BATCH)).outcomes
    assert [named(outcome) for outcome in outcomes] == [row["outcome"] for row in rows(ONE_BATCH)]


def test_one_batch_each_decides_as_one_batch_for_all(here: World) -> None:
    for request, row in zip(requests_of(ONE_BATCH), rows(ONE_BATCH), strict=True):
        (outcome,) = here.decide(request).outcomes
        here = here.after(request)
        assert (named(outcome), here.state("alice").balance) == (row["outcome"], int(row["alice"]))


def test_a_replay_is_the_first_answer_field_for_field(here: World) -> None:
    request = post("r", "GOLD", "alice-30,bob+30", metadata='{"a":1}')
    (first,) = here.decide(request).outcomes
    later = here.after(request).after(post("other", "GOLD", "alice-1,bob+1"))
    (again,) = later.decide(tried_again(request)).outcomes
    assert isinstance(first, Applied)
    assert again == Replayed(first.posted)
    assert isinstance(again, Replayed)


def test_a_replay_moves_nothing(here: World) -> None:
    request = post("r", "GOLD", "treasury-30,alice+30")
    decision = here.after(request).decide(tried_again(request))
    assert (decision.posted, decision.states, decision.deltas) == ((), {}, {})


def test_a_try_whose_answer_was_lost_is_answered_as_the_first_time(here: World) -> None:
    # The committer runs the very same batch again when it does not know whether COMMIT was obeyed.
    batch = [post("a", "GOLD", "alice-30,bob+30"), post("b", "GOLD", "treasury-5,alice+5")]
    first, again = here.decide(*batch), here.after(*batch).decide(*batch)
    assert again.outcomes == first.outcomes
    assert [type(outcome) for outcome in again.outcomes] == [Applied, Applied]
    assert (again.posted, again.states, again.deltas) == ((), {}, {})


def test_a_lost_try_beside_a_duplicate_of_it_is_told_apart_by_its_id(here: World) -> None:
    request = post("a", "GOLD", "alice-30,bob+30")
    outcomes = here.after(request).decide(tried_again(request), request).outcomes
    assert [named(outcome) for outcome in outcomes] == ["replayed", "applied"]


def test_a_used_reference_is_refused_to_another_request_even_under_the_same_id(here: World) -> None:
    request = post("a", "GOLD", "alice-30,bob+30")
    other = post("a", "GOLD", "alice-31,bob+31")._replace(id=request.id)
    (outcome,) = here.after(request).decide(other).outcomes
    assert named(outcome) == "reference_reused"


def test_a_replay_comes_before_every_refusal(here: World) -> None:
    # All of alice's money is gone by then.
    request = post("r", "GOLD", "alice-100,bob+100")
    (outcome,) = here.after(request).decide(tried_again(request)).outcomes
    assert named(outcome) == "replayed"


def test_a_refusal_does_not_use_its_reference_up(here: World) -> None:
    outcomes = here.decide(post("r", "GOLD", "bob-5,alice+5"), post("r", "GOLD", "alice-7,bob+7")).outcomes
    assert [named(outcome) for outcome in outcomes] == ["insufficient_funds", "applied"]


# Two requests under one reference, and the fields in which they differ; every field of every layout once.
REUSED = """
type     asset legs                 metadata  type_2   asset_2 legs_2               metadata_2 -> differs
topup    GOLD  treasury-5,alice+5   -         bonus    GOLD    treasury-5,alice+5   -          -> type
topup    GOLD  treasury-5,alice+5   -         topup    GOLD    treasury-5,bob+5     -          -> wallet_id
topup    GOLD  treasury-5,alice+5   -         topup    COIN    treasury-5,alice+5   -          -> asset_code
topup    GOLD  treasury-5,alice+5   -         topup    GOLD    treasury-6,alice+6   -          -> amount
topup    GOLD  treasury-5,alice+5   {"a":1}   topup    GOLD    treasury-5,alice+5   {"a":2}    -> metadata
topup    GOLD  treasury-5,alice+5   -         topup    GOLD    treasury-5,alice+5   {}         -> metadata
topup    GOLD  treasury-5,alice+5   {}        topup    GOLD    treasury-5,alice+5   -          -> metadata
topup    GOLD  treasury-5,alice+5   -         spend    COIN    bob-6,revenue+6      {}         -> type,wallet_id,asset_code,amount,metadata
spend    GOLD  alice-5,revenue+5    -         spend    GOLD    bob-5,revenue+5      -          -> wallet_id
bonus    GOLD  treasury-5,alice+5   -         bonus    GOLD    treasury-6,bob+6     -          -> wallet_id,amount
transfer GOLD  alice-5,bob+5        -         transfer GOLD    carol-5,bob+5        -          -> from_wallet_id
transfer GOLD  alice-5,bob+5        -         transfer GOLD    alice-5,carol+5      -          -> to_wallet_id
transfer GOLD  alice-5,bob+5        -         transfer GOLD    bob-5,alice+5        -          -> from_wallet_id,to_wallet_id
transfer GOLD  alice-5,bob+5        -         transfer COIN    alice-5,bob+5        -          -> asset_code
transfer GOLD  alice-5,bob+5        -         transfer GOLD    alice-6,bob+6        -          -> amount
transfer GOLD  alice-5,bob+5        -         transfer GOLD    alice-5,bob+5        {}         -> metadata
exchange -     alice-5,bob+5        -         swap     -       alice-5,bob+5        -          -> type
exchange -     alice-5,bob+5        -         exchange -       alice-6,bob+6        -          -> legs
exchange -     alice-5,bob+5        -         exchange -       bob+5,alice-5        -          -> legs
exchange -     alice-5,bob+5        -         exchange -       alice-5,bob+5        {}         -> metadata
topup    GOLD  treasury-5,alice+5   -         transfer GOLD    alice-5,bob+5        -          -> type
transfer GOLD  alice-5,bob+5        -         exchange -       alice-5,bob+5        -          -> type
exchange -     alice-5,bob+5        -         spend    GOLD    alice-5,revenue+5    -          -> type
"""  # noqa: E501


@pytest.mark.parametrize("row", rows(REUSED), ids=lambda row: f"{row['type']}:{row['type_2']}:{row['differs']}")
def test_a_reused_reference_is_refused_with_the_names_of_the_fields_that_differ(
    here: World, row: dict[str, str]
) -> None:
    first, second = (
        post(
            "r",
            row["asset" + of],
            row["legs" + of],
            type_=row["type" + of],
            metadata=None if row["metadata" + of] == "-" else row["metadata" + of],
        )
        for of in ("", "_2")
    )
    (outcome,) = here.after(first).decide(second).outcomes
    assert isinstance(outcome, Refused)
    assert outcome.differs == tuple(row["differs"].split(","))
    assert outcome.detail.endswith(f"they differ in {', '.join(outcome.differs)}.")


def test_every_field_of_every_first_layout_is_named_by_a_row() -> None:
    # The fields that layouts have grown by, and all of the newer ones, are named in test_fingerprint.
    named_alone = {(row["type"], row["differs"]) for row in rows(REUSED)}
    layouts = {"topup": WALLET_MOVEMENT_FIELDS, "transfer": TRANSFER_FIELDS, "exchange": GENERAL_FIELDS}
    wanted = {(type_, field) for type_, layout in layouts.items() for field in layout}
    assert wanted <= named_alone
