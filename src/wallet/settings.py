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
    """`empty_means_something`: an empty environment variable is a value. Otherwise it counts as not set.

    `is_secret`: the operator can give the value as a file, too, by the variable of the same name with _FILE.
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
        "URL of the PostgreSQL database. Unset: all commands but `wallet serve` start an embedded one. The list of "
        "processes shows a password that is given by the option.",
        is_secret=True,
    )
    migration_database_url: str | None = _setting(
        None,
        "WALLET_MIGRATION_DATABASE_URL",
        "URL of the same database with the login that owns the tables, for migrations. Unset: DATABASE_URL. The list "
        "of processes shows a password that is given by the option.",
        is_secret=True,
    )
    database_role: str = _setting(
        SERVICE_ROLE,
        "WALLET_DATABASE_ROLE",
        "The role that every connection takes; `wallet migrate` creates it. Empty: the login's own rights.",
        empty_means_something=True,
    )
    data_dir: str | None = _setting(None, "WALLET_DATA_DIR", "Folder of the embedded PostgreSQL's data.")
    pg_bindir: str | None = _setting(None, "WALLET_PG_BINDIR", "Folder of the PostgreSQL binaries to embed.")
    database_wait_seconds: float = _setting(
        60.0, "WALLET_DATABASE_WAIT_SECONDS", "How long a start waits for the database.", least=0
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
        5_000,
        "WALLET_IDLE_TRANSACTION_MS_MAX",
        "PostgreSQL ends a database transaction that idles for this time, so a stopped worker loses its locks.",
        least=100,
    )
    plan_cache_mode: str = _setting(
        "force_generic_plan",
        "WALLET_PLAN_CACHE_MODE",
        "PostgreSQL's plan_cache_mode for connections whose statements find rows by key.",
    )

    # The committer
    queue_depth_max: int = _setting(
        10_000, "WALLET_QUEUE_DEPTH_MAX", "Requests that may wait for a batch (503 overloaded beyond).", least=1
    )
    batch_items_max: int = _setting(500, "WALLET_BATCH_ITEMS_MAX", "Requests in one database transaction.", least=1)
    batches_in_flight_max: int = _setting(2, "WALLET_BATCHES_IN_FLIGHT_MAX", "Write connections per process.", least=1)
    bulk_items_max: int = _setting(
        500,
        "WALLET_BULK_ITEMS_MAX",
        "Lines of an import, or independent items of a batch, in one database transaction.",
        least=1,
    )
    unknown_seconds_max: float = _setting(
        10.0,
        "WALLET_UNKNOWN_SECONDS_MAX",
        "How long the service asks what became of a lost COMMIT before it answers 503 outcome_unknown.",
        least=0,
    )
    answer_seconds_max: float = _setting(
        10.0,
        "WALLET_ANSWER_SECONDS_MAX",
        "How long an answer may take; then 503 storage_unavailable or outcome_unknown.",
        least=0.1,
    )
    shutdown_seconds_max: float = _setting(
        20.0, "WALLET_SHUTDOWN_SECONDS_MAX", "How long a shutdown goes on answering accepted requests.", least=0
    )

    # The burden of one wallet
    wallet_lots_max: int = _setting(
        1_000,
        "WALLET_LOTS_MAX",
        "Live lots of a wallet (422 too_many_lots beyond). Callers with bound keys may fill half of them.",
        least=2,
    )
    wallet_holds_max: int = _setting(
        1_000,
        "WALLET_HOLDS_MAX",
        "Open holds on a wallet, and as many again that are captured into it at their expiry (422 too_many_holds "
        "beyond). Callers with bound keys may fill half of them.",
        least=2,
    )

    # The keepers
    fence_interval_seconds: float = _setting(
        0.25, "WALLET_FENCE_INTERVAL_SECONDS", "How often the leader moves the watermark.", least=0.01
    )
    snapshot_deltas_min: int = _setting(
        1_000, "WALLET_SNAPSHOT_DELTAS_MIN", "Deltas of a system wallet before the next snapshot.", least=1
    )
    declines_days: int = _setting(90, "WALLET_DECLINES_DAYS", "Days that declines are kept.", least=1)

    # HTTP
    host: str = _setting("127.0.0.1", "WALLET_HOST", "Address to listen on.")
    port: int = _setting(8080, "PORT", "Port to listen on.", least=0)
    workers: int = _setting(1, "WALLET_WORKERS", "Worker processes.", least=1)
    fast_lane: bool = _setting(True, "WALLET_FAST_LANE", "Serve the hot operations without the framework.")
    body_bytes_max: int = _setting(
        65_536, "WALLET_BODY_BYTES_MAX", "Largest request body, except of batches and imports (413 beyond).", least=1
    )
    batch_body_bytes_max: int = _setting(
        16_777_216, "WALLET_BATCH_BODY_BYTES_MAX", "Largest body of POST /batches (413 beyond).", least=1
    )
    imports_at_once_max: int = _setting(
        8, "WALLET_IMPORTS_AT_ONCE_MAX", "Imports that run at the same time (503 overloaded beyond).", least=1
    )
    header_bytes_max: int = _setting(32_768, "WALLET_HEADER_BYTES_MAX", "Largest request head (431 beyond).", least=256)
    request_seconds_max: float = _setting(
        15.0, "WALLET_REQUEST_SECONDS_MAX", "Time in which a whole request must arrive (408 beyond).", least=0.1
    )
    keep_alive_seconds: float = _setting(
        75.0, "WALLET_KEEP_ALIVE_SECONDS", "Time an idle connection is kept between requests.", least=0
    )
    connections_max: int = _setting(
        20_000, "WALLET_CONNECTIONS_MAX", "Open client connections; the next is closed at once.", least=1
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
        "URL at which clients reach the service, with the path prefix of a proxy, such as https://api.example/wallet. "
        "The OpenAPI document (`servers`) and problems (`type`) give it. Empty: they give relative URLs.",
        empty_means_something=True,
    )
    metrics_port: int = _setting(
        0, "WALLET_METRICS_PORT", "Port for /metrics alone; PORT then does not serve it. 0: PORT serves it.", least=0
    )
    sandbox: bool = _setting(
        False, "WALLET_SANDBOX", "Let POST /sandbox/clock advance the ledger's clock. For tests, never with real money."
    )
    development: bool = _setting(
        False, "WALLET_DEVELOPMENT", "Let requests without a key do everything. Served on loopback only."
    )
    requests_per_second_max: int = _setting(
        0,
        "WALLET_REQUESTS_PER_SECOND_MAX",
        "Requests per second of a key without a rate of its own, all workers together (429 beyond). 0: any number.",
        least=0,
    )
    log_level: str = _setting("info", "WALLET_LOG_LEVEL", "debug, info, warning or error.")

    @property
    def stage_seconds_max(self) -> float:
        """How long one stage of an answer may take. It is less than answer_seconds_max, so that a slow stage ends by
        its own limit: only the stage knows whether anything was applied.
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
    """Whether a host, given by name or address, is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
