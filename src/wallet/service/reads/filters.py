"""The filters of lists, and which of them go together: those that an index answers (docs/filters.md).

Any other combination is refused, and the refusal names the supported ones: it would need a slow scan, or the list would
leave rows out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from wallet.errors import FieldError, Malformed
from wallet.ledger.model import WalletId
from wallet.storage.reads.resources import UserFilter, WalletFilter
from wallet.storage.reads.walks import TransactionFilter

MEMBER_LENGTH_MAX: Final = 255
"""Code points of a key, and of a value, of metadata that can be filtered by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionQuery:
    """Filters of the list of transactions, as they were asked for. `since` and `until` are from and to."""

    reference_id: str | None = None
    reference_prefix: str | None = None
    wallet_id: WalletId | None = None
    type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None

    @property
    def takes_offset(self) -> bool:
        """Whether rows may be skipped: there is no filter but a reference."""
        return self.texts.keys() <= {"reference_id"}

    @property
    def texts(self) -> Mapping[str, str]:
        """The filters that are given, by the names of their parameters."""
        return _given(
            {
                "reference_id": self.reference_id,
                "reference_prefix": self.reference_prefix,
                "wallet_id": self.wallet_id,
                "type": self.type,
                "from": None if self.since is None else self.since.isoformat(),
                "to": None if self.until is None else self.until.isoformat(),
            },
            self.metadata,
        )

    def filter(self) -> TransactionFilter:
        """Raises Malformed for filters that do not go together."""
        self.check()
        return TransactionFilter(
            wallet_id=self.wallet_id,
            reference_id=self.reference_id,
            reference_prefix=self.reference_prefix,
            member=_member(self.metadata),
            type=self.type,
            since=self.since,
            until=self.until,
        )

    def check(self) -> None:
        """Raise Malformed for filters that do not go together."""
        names = list(self.texts)
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise Malformed([FieldError("to", "must be later than from")])
        for alone in ("reference_id", "reference_prefix"):
            if alone in names and len(names) > 1:
                _refuse(
                    [name for name in names if name != alone],
                    f"cannot be combined with {alone}, which takes no other filter beside it",
                )
        _ensure_one(
            [name for name in names if name not in ("type", "from", "to")],
            "wallet_id or one metadata.<key>, and with it type, from and to",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserQuery:
    """Filters of the list of users, as they were asked for."""

    name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def texts(self) -> Mapping[str, str]:
        return _given({"name": self.name}, self.metadata)

    def filter(self) -> UserFilter:
        """Raises Malformed for filters that do not go together."""
        _ensure_one(list(self.texts), "name or one metadata.<key>")
        return UserFilter(name=self.name, member=_member(self.metadata))


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletQuery:
    """Filters of the list of wallets, as they were asked for."""

    user_id: UUID | None = None
    label: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def texts(self) -> Mapping[str, str]:
        return _given({"user_id": self.user_id, "label": self.label}, self.metadata)

    def filter(self) -> WalletFilter:
        """Raises Malformed for filters that do not go together."""
        _ensure_one(list(self.texts), "user_id, label or one metadata.<key>")
        return WalletFilter(user_id=self.user_id, label=self.label, member=_member(self.metadata))


def _given(filters: Mapping[str, object], metadata: Mapping[str, str]) -> Mapping[str, str]:
    given = {name: str(value) for name, value in filters.items() if value is not None}
    return given | {f"metadata.{key}": value for key, value in metadata.items()}


def _member(metadata: Mapping[str, str]) -> tuple[str, str] | None:
    return next(iter(metadata.items()), None)


def _ensure_one(names: Sequence[str], supported: str) -> None:
    if len(names) > 1:
        _refuse(names[1:], f"cannot be combined with {names[0]}: filter by {supported}")


def _refuse(names: Sequence[str], message: str) -> None:
    raise Malformed([FieldError(name, message) for name in names])
