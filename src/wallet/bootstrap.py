"""The only module that builds the objects of the service and connects them to each other."""

from pathlib import Path
from typing import Any, cast

from litestar import Litestar

from wallet.errors import SettingsInvalid
from wallet.http.application import make_framework
from wallet.http.document.openapi import document
from wallet.http.edge.authentication import Authentication
from wallet.http.edge.cors import Cors
from wallet.http.edge.deadlines import Deadlines
from wallet.http.edge.direct_lane import DirectLane
from wallet.http.edge.edge import Edge
from wallet.http.edge.fast_lane import FastLane
from wallet.http.edge.lifespan import Lifespan
from wallet.http.open.guide import BUILT, guide_pages
from wallet.http.open.pages import OpenPages, open_pages
from wallet.http.operations.balances import WalletBalances
from wallet.http.operations.perform import Movements
from wallet.http.wire.asgi import App
from wallet.http.wire.problems import link_types_to
from wallet.ledger.batch import Bounds
from wallet.origins import ANY, origins_of, url_of
from wallet.service.access.key_ring import KeyRing
from wallet.service.due.keeper import DueKeeper
from wallet.service.keepers.leader import Keepers
from wallet.service.reads.balances import Balances
from wallet.service.wallet_service import WalletService
from wallet.service.writes.bulk import CHUNKS_QUEUED_MAX, QUEUE_ITEMS_MAX, Bulk
from wallet.service.writes.commands import Commands
from wallet.service.writes.committer import Committer
from wallet.service.writes.ordered_committer import BATCHES_AT_ONCE, OrderedCommitter
from wallet.service.writes.ordered_committer import PORTIONS_MAX as BULK_PORTIONS_MAX
from wallet.settings import Settings
from wallet.storage.batch.sized_writer import GROUP_LINES_AT_ONCE_MAX, SizedWriter, ThreadWriter
from wallet.storage.batch.wallets_to_lock import wallets_locked
from wallet.storage.batch.writer import PORTIONS_MAX, BatchWriter
from wallet.storage.connections.database import Database
from wallet.storage.reads.balances import BalanceConnection
from wallet.storage.rows.asset_cache import AssetCache
from wallet.telemetry import Telemetry


def make_service(settings: Settings) -> WalletService:
    """The service on its database, not yet started. Raises SettingsInvalid without a database."""
    if settings.database_url is None:
        raise SettingsInvalid("DATABASE_URL is not set")
    telemetry = Telemetry()
    database = Database(dsn=settings.database_url, settings=settings)
    assets = AssetCache()
    bounds = Bounds(lots_max=settings.wallet_lots_max, holds_max=settings.wallet_holds_max)

    def make_writers(count: int, portions_max: int = PORTIONS_MAX, **more: Any) -> list[BatchWriter]:
        observe = telemetry.batch
        return [
            BatchWriter(database, assets, observe=observe, portions_max=portions_max, bounds=bounds, **more)
            for _ in range(count)
        ]

    committer = Committer(
        make_writers(settings.batches_in_flight_max),
        queue_depth_max=settings.queue_depth_max,
        batch_items_max=settings.batch_items_max,
        wait_seconds_max=settings.stage_seconds_max,
        observe_depth=telemetry.queue_depth.set,
    )
    # A writer of its own, so that a large batch does not occupy one of the writers of small movements.
    in_thread = ThreadWriter(*make_writers(1, BULK_PORTIONS_MAX, is_in_thread=True))
    bulk_writers = make_writers(BATCHES_AT_ONCE, BULK_PORTIONS_MAX, group_lines_at_once=GROUP_LINES_AT_ONCE_MAX)
    bulk = OrderedCommitter(
        [SizedWriter(each, in_thread) for each in bulk_writers],
        queue_depth_max=max(QUEUE_ITEMS_MAX, CHUNKS_QUEUED_MAX * settings.bulk_items_max),
        batch_items_max=settings.bulk_items_max,
        wallets_of=lambda request: wallets_locked(request, assets),
        wait_seconds_max=settings.stage_seconds_max,
    )
    return WalletService(
        database,
        commands=Commands(),
        committer=committer,
        bulk=Bulk(
            bulk,
            chunk_items_max=settings.bulk_items_max,
            streams_max=settings.imports_at_once_max,
            note_refusal=lambda refused: telemetry.refusals.labels(refused.code.value).inc(),
        ),
        balances=Balances(BalanceConnection(database), waiting_max=settings.queue_depth_max),
        keepers=Keepers(
            database, observe=telemetry.keepers, due=DueKeeper(database, committer.submit, observe=telemetry.due)
        ),
        assets=assets,
        telemetry=telemetry,
        ring=KeyRing(
            workers=settings.workers,
            requests_per_second_max=settings.requests_per_second_max,
            observe_clock=telemetry.clock_offset_seconds.set,
        ),
    )


def make_routes(
    service: WalletService,
    movements: Movements,
    balances: WalletBalances,
    settings: Settings,
    *,
    guide: Path | None = None,
) -> tuple[Litestar, OpenPages]:
    """The framework with all routes, and the pages that need no key. guide: as for make_app."""
    exposition = None if settings.metrics_port else service.telemetry.exposition
    pages = {**open_pages(lambda: document(framework), exposition), **(guide_pages(guide) if guide else {})}
    framework = make_framework(service, movements, balances, pages, public_url=url_of(settings.public_url))
    return framework, pages


def make_app(settings: Settings, *, guide: Path | None = BUILT) -> Lifespan:
    """The ASGI application that the server runs. guide: the folder of the documentation site; it need not exist.

    Raises SettingsInvalid without a database.
    """
    link_types_to(url_of(settings.public_url))
    service = make_service(settings)
    movements, balances = Movements(service), WalletBalances(service)
    framework, pages = make_routes(service, movements, balances, settings, guide=guide)
    fast_lane = FastLane(movements, balances, pages) if settings.fast_lane else None
    origins = origins_of(settings.cors_origins)
    authentication = Authentication(service.ring, is_development=settings.development, origins={*origins} - {ANY})
    deadlines = Deadlines(seconds_max=settings.answer_seconds_max)
    cors = Cors(origins) if origins else None
    edge = Edge(cast("App", framework), fast_lane, service.telemetry, authentication, deadlines, cors=cors)
    direct = None
    if settings.fast_lane:
        told = () if cors is None else cors.told_to_all
        direct = DirectLane(service, movements, authentication, deadlines, told=told, has_cors=cors is not None)
    return Lifespan(edge, service, deadlines, direct=direct)


def openapi_bytes() -> bytes:
    """The OpenAPI document, made from the code alone, without a connection to anything."""
    settings = Settings(database_url="postgresql://")
    service = make_service(settings)
    framework, _ = make_routes(service, Movements(service), WalletBalances(service), settings)
    return document(framework)
