"""The pages that are open to all, as the framework serves them. http.open.pages makes them."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from litestar import Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ControllerRouterHandler

from wallet.http.edge.needs import open_to_all
from wallet.http.open.pages import GUIDE, OpenPage, OpenPages
from wallet.http.routes.shared import SENT_AS_IT_IS, headers_of, whole_response

FOLDER: Final = "/docs"
_IN_FOLDER: Final = (FOLDER, f"{FOLDER}/")
_GUIDE_FIRST: Final = (GUIDE.rstrip("/"), GUIDE)
_OPT: Final = {**open_to_all(), SENT_AS_IT_IS: True}
# Their routes are in the document, so they are with those of the service's status.
_DOCUMENTED: Final = frozenset({"/healthz", "/metrics"})


def page_routes(pages: OpenPages) -> list[ControllerRouterHandler]:
    """A route for each page outside of the folder that the framework's own router has, and one for the whole site."""
    guide = {path: page for path, page in pages.items() if path in _GUIDE_FIRST or path.startswith(GUIDE)}
    paths = [path for path in pages if path not in _DOCUMENTED and path not in _IN_FOLDER and path not in guide]
    return [*(_route(path, pages[path]) for path in paths), *([_guide_route(guide)] if guide else [])]


def folder_router(pages: OpenPages) -> Router:
    """The router below which the framework puts its own documentation routes: our page, or nothing, replaces all of
    them.
    """

    async def serve(request: Request[Any, Any, Any]) -> Response[Any]:
        path = _as_asked(request)
        if path not in _IN_FOLDER:
            raise NotFoundException
        return whole_response(await pages[path].answer(headers_of(request)))

    return Router(path=FOLDER, route_handlers=[], before_request=serve, include_in_schema=False, opt=_OPT)


def _as_asked(request: Request[Any, Any, Any]) -> str:
    """The path of the request. The framework has taken slashes off the end of its own."""
    return unquote(request.scope["raw_path"].decode("latin-1"))


class NoPage(JsonRenderPlugin):
    """A stand-in that the framework needs for its router, and never calls."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: Mapping[str, Any]) -> bytes:
        raise NotFoundException


def _route(path: str, page: OpenPage) -> ControllerRouterHandler:
    @get(path, include_in_schema=False, opt=_OPT)
    async def serve(request: Request[Any, Any, Any]) -> Response[Any]:
        return whole_response(await page.answer(headers_of(request)))

    return serve


def _guide_route(guide: OpenPages) -> ControllerRouterHandler:
    @get([_GUIDE_FIRST[0], f"{GUIDE}{{path:path}}"], include_in_schema=False, opt=_OPT)
    async def serve(request: Request[Any, Any, Any]) -> Response[Any]:
        page = guide.get(_as_asked(request))
        if page is None:
            raise NotFoundException
        return whole_response(await page.answer(headers_of(request)))

    return serve
