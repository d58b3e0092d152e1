"""Every setting of the service: name, environment variable, default and meaning, in one place.

The command line makes its options from these fields, and docs/configuration.md is generated from them.
"""

from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from typing import Any, Final

from wallet.errors import SettingsInvalid
from wallet.origins import origins_of, url_of

SERVICE_ROLE: Final = "wallet_service"


def _setting(
    default: Any,
    env: str,
    meaning: str,
    *,
    least: float | None = None,
    empty_means_something: bool = False,
    is_secret: bool = False,
) -> Any:
    """`empty_means_something`: an empty variable is a value, not one that is not set.

    `is_secret`: it can be given as a file, too, by the variable of the same name with _FILE.
    """
    return field(
        default=default,
        repr=not is_secret,
        metadata={
            "env": env,
            "help": meaning,
            "least": least,
            "empty_means_something": empty_means_something,
            "is_secret": is_secret,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All bounds are per process unless their meaning says otherwise. Durations end in their unit."""

    # The database
    database_url: str | None = _setting(
        None,
        "DATABASE_URL",
        "PostgreSQL to use. Unset: an embedded one is started. The list of processes shows the option's password.",
        is_secret=True,
    )
    migration_database_url: str | None = _setting(
        None,
        "WALLET_MIGRATION_DATABASE_URL",
        "The same database with the login that owns the tables, for migrations. Unset: DATABASE_URL's. The list of "
        "processes shows the option's password.",
        is_secret=True,
    )
    database_role: str = _setting(
        SERVICE_ROLE,
        "WALLET_DATABASE_ROLE",
        "The role taken on every connection; `wallet migrate` makes it. Empty: the login's own rights.",
        empty_means_something=True,
    )
    data_dir: str | None = _setting(None, "WALLET_DATA_DIR", "Folder of the embedded PostgreSQL's data.")
    pg_bindir: str | None = _setting(None, "WALLET_PG_BINDIR", "Folder of the PostgreSQL binaries to embed.")
    database_wait_seconds: float = _setting(
        60.0, "WALLET_DATABASE_WAIT_SECONDS", "How long start waits for the database.", least=0
    )
    connect_seconds_max: float = _setting(
        3.0, "WALLET_CONNECT_SECONDS_MAX", "Time for one connection attempt.", least=0.1
    )
    lock_timeout_ms: int = _setting(
        1_000, "WALLET_LOCK_TIMEOUT_MS", "How long a batch waits for a wallet's lock.", least=1
    )
    statement_timeout_ms: int = _setting(
        30_000, "WALLET_STATEMENT_TIMEOUT_MS", "How long any one statement may run.", least=1
    )
    idle_transaction_ms_max: int = _setting(
        5_000, "WALLET_IDLE_TRANSACTION_MS_MAX", "A stopped worker loses its locks after this.", least=100
    )
    plan_cache_mode: str = _setting(
        "force_generic_plan", "WALLET_PLAN_CACHE_MODE", "plan_cache_mode where rows are found by key."
    )

    # The committer
    queue_depth_max: int = _setting(
        10_000, "WALLET_QUEUE_DEPTH_MAX", "Requests that may wait; beyond it 503 overloaded.", least=1
    )
    batch_items_max: int = _setting(500, "WALLET_BATCH_ITEMS_MAX", "Requests in one database transaction.", least=1)
    batches_in_flight_max: int = _setting(2, "WALLET_BATCHES_IN_FLIGHT_MAX", "Write connections per process.", least=1)
    bulk_items_max: int = _setting(
        500, "WALLET_BULK_ITEMS_MAX", "Lines of an import in one database transaction; independent items, too.", least=1
    )
    unknown_seconds_max: float = _setting(
        10.0, "WALLET_UNKNOWN_SECONDS_MAX", "How long a lost COMMIT is asked after before 503 outcome_unknown.", least=0
    )
    answer_seconds_max: float = _setting(
        10.0,
        "WALLET_ANSWER_SECONDS_MAX",
        "How long an answer may take; then 503 storage_unavailable or outcome_unknown.",
        least=0.1,
    )
    shutdown_seconds_max: float = _setting(
        20.0, "WALLET_SHUTDOWN_SECONDS_MAX", "How long shutdown answers what was accepted.", least=0
    )

    # What one wallet may be burdened with
    wallet_lots_max: int = _setting(
        1_000,
        "WALLET_LOTS_MAX",
        "Live lots of a wallet (422 too_many_lots beyond). Callers that are bound may fill half of them.",
        least=2,
    )
    wallet_holds_max: int = _setting(
        1_000,
        "WALLET_HOLDS_MAX",
        "Open holds on a wallet, and as many captured into it at their expiry (422 too_many_holds beyond). Callers "
        "that are bound may fill half of them.",
        least=2,
    )

    # The keepers
    fence_interval_seconds: float = _setting(
        0.25, "WALLET_FENCE_INTERVAL_SECONDS", "How often the watermark is moved.", least=0.01
    )
    snapshot_deltas_min: int = _setting(
        1_000, "WALLET_SNAPSHOT_DELTAS_MIN", "Deltas of a system wallet before the next snapshot.", least=1
    )
    declines_days: int = _setting(90, "WALLET_DECLINES_DAYS", "Days that declines are kept.", least=1)

    # HTTP
    host: str = _setting("127.0.0.1", "WALLET_HOST", "Address to listen on.")
    port: int = _setting(8080, "PORT", "Port to listen on.", least=0)
    workers: int = _setting(1, "WALLET_WORKERS", "Worker processes.", least=1)
    fast_lane: bool = _setting(True, "WALLET_FAST_LANE", "Serve the hot operations before the framework.")
    body_bytes_max: int = _setting(
        65_536, "WALLET_BODY_BYTES_MAX", "Largest request body, but for batches and imports (413 beyond).", least=1
    )
    batch_body_bytes_max: int = _setting(
        16_777_216, "WALLET_BATCH_BODY_BYTES_MAX", "Largest body of POST /batches (413 beyond).", least=1
    )
    imports_at_once_max: int = _setting(
        8, "WALLET_IMPORTS_AT_ONCE_MAX", "Imports under way; the next gets 503 overloaded.", least=1
    )
    header_bytes_max: int = _setting(32_768, "WALLET_HEADER_BYTES_MAX", "Largest request head (431 beyond).", least=256)
    request_seconds_max: float = _setting(
        15.0, "WALLET_REQUEST_SECONDS_MAX", "Time for a request to arrive whole (408 beyond).", least=0.1
    )
    keep_alive_seconds: float = _setting(
        75.0, "WALLET_KEEP_ALIVE_SECONDS", "Time an idle connection is kept between requests.", least=0
    )
    connections_max: int = _setting(
        20_000, "WALLET_CONNECTIONS_MAX", "Open connections; the next is closed at once.", least=1
    )
    cors_origins: str = _setting(
        "",
        "WALLET_CORS_ORIGINS",
        "Origins allowed by CORS, comma-separated; * is any. Empty: CORS is off.",
        empty_means_something=True,
    )
    public_url: str = _setting(
        "",
        "WALLET_PUBLIC_URL",
        "Where clients reach the service, a proxy's path prefix included, such as https://api.example/wallet; "
        "for the document's `servers` and the `type` of problems. Empty: relative to where they ask.",
        empty_means_something=True,
    )
    metrics_port: int = _setting(
        0, "WALLET_METRICS_PORT", "Port to serve /metrics on, and nowhere else. 0: it is served on PORT.", least=0
    )
    sandbox: bool = _setting(
        False, "WALLET_SANDBOX", "Let POST /sandbox/clock advance the ledger's clock. For tests, never with real money."
    )
    development: bool = _setting(
        False, "WALLET_DEVELOPMENT", "Let whoever comes without a key do everything. On loopback only."
    )
    requests_per_second_max: int = _setting(
        0,
        "WALLET_REQUESTS_PER_SECOND_MAX",
        "Requests per second of a key without a rate of its own, all workers together (429 beyond). 0: any number.",
        least=0,
    )
    log_level: str = _setting("info", "WALLET_LOG_LEVEL", "debug, info, warning or error.")

    @property
    def step_seconds_max(self) -> float:
        """How long one step towards an answer may take. Less than the whole, so that it is the step that says what is
        known of it.
        """
        return 0.75 * self.answer_seconds_max

    def __post_init__(self) -> None:
        for each in fields(self):
            value, least = getattr(self, each.name), each.metadata["least"]
            if least is not None and value < least:
                raise SettingsInvalid(f"{each.metadata['env']} must be at least {least}, not {value}")
        for env, port in (("PORT", self.port), ("WALLET_METRICS_PORT", self.metrics_port)):
            if port > 65_535:
                raise SettingsInvalid(f"{env} must be at most 65535, not {port}")
        if self.metrics_port and self.metrics_port == self.port:
            raise SettingsInvalid(f"WALLET_METRICS_PORT must be another port than PORT, {self.port}")
        for env, read, text in (
            ("WALLET_CORS_ORIGINS", origins_of, self.cors_origins),
            ("WALLET_PUBLIC_URL", url_of, self.public_url),
        ):
            try:
                read(text)
            except ValueError as error:
                raise SettingsInvalid(f"{env}: {error}") from None
        if self.development and not is_loopback(self.host):
            raise SettingsInvalid(
                "development mode (WALLET_DEVELOPMENT) lets everybody do everything, so it is served on loopback only, "
                f"not on WALLET_HOST {self.host!r}"
            )
        if self.plan_cache_mode not in ("auto", "force_custom_plan", "force_generic_plan"):
            raise SettingsInvalid(f"WALLET_PLAN_CACHE_MODE is unknown: {self.plan_cache_mode!r}")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise SettingsInvalid(f"WALLET_LOG_LEVEL is unknown: {self.log_level!r}")


def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address, is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
