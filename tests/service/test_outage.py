"""When writers without a connection make a service unready."""

from wallet.errors import StorageUnavailable
from wallet.service.outage import SECONDS_LEAST, SECONDS_MAX, Outage
from wallet.storage.connections.database import CannotConnect


class Times:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def outage_of(seconds: float) -> tuple[Outage, Times]:
    times = Times()
    outage = Outage(times)
    outage.note(CannotConnect("first"))
    times.now += seconds
    outage.note(CannotConnect("full"))
    return outage, times


def test_a_connection_that_is_lost_and_soon_replaced_is_no_outage() -> None:
    outage, _ = outage_of(SECONDS_LEAST / 2)
    assert outage.reason is None


def test_no_connection_for_a_while_is_one_and_says_why() -> None:
    outage, _ = outage_of(SECONDS_LEAST)
    assert outage.reason == "full"


def test_it_is_over_once_a_batch_has_had_a_connection_whatever_became_of_it() -> None:
    for end in (None, StorageUnavailable("interrupted")):
        outage, _ = outage_of(SECONDS_LEAST)
        outage.note(end)
        assert outage.reason is None


def test_it_is_not_believed_for_ever_where_nobody_tries() -> None:
    outage, times = outage_of(SECONDS_LEAST)
    times.now += SECONDS_MAX
    assert outage.reason is None
    outage.note(CannotConnect("again"))
    assert outage.reason is None, "two tries far apart say nothing of the time between"
