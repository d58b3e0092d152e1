"""The pages that need no key and are the same for everybody, by path: the OpenAPI document, the pages that show it, and
metrics.

Pages refer to each other by relative URLs only, so they work under any path prefix of a proxy.
"""

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from itertools import pairwise
from typing import Final, Protocol

import msgspec
from markdown_it import MarkdownIt
from prometheus_client import CONTENT_TYPE_LATEST

from wallet.http.open.representations import Made, Representation
from wallet.http.wire.encoding import Answer, written
from wallet.http.wire.query import Headers

METRICS_SECONDS: Final = 1.0
"""How long the same metrics are answered before they are made again."""

GUIDE: Final = "/docs/guide/"
"""The paths of the documentation site begin with this, where there is one."""

_HTML: Final = "text/html; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_ASSETS: Final = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": _SCRIPT,
    "favicon-32x32.png": "image/png",
}
"""The files of the package swagger_ui that the page of the document uses."""


class Health(msgspec.Struct):
    """The process answers."""

    status: str


HEALTHY: Final = Answer(200, written(Health("ok")))


class OpenPage(Protocol):
    """Answers a request by its headers: they name the encodings that the client takes, and the validators it has."""

    def answer(self, headers: Headers) -> Awaitable[Answer]: ...


OpenPages = Mapping[str, OpenPage]
"""The open pages by path."""


class _Constant:
    """One answer for all requests, whatever their headers say."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def answer(self, headers: Headers) -> Answer:
        return self._answer


def open_pages(document: Callable[[], bytes], exposition: Callable[[], bytes] | None) -> OpenPages:
    """All open pages; none is made yet.

    document: makes the OpenAPI document. exposition: makes the metrics; None if they have a port of their own.
    """
    pages: dict[str, OpenPage] = {
        "/": redirect("docs"),
        "/healthz": _Constant(HEALTHY),
        "/openapi.json": Made(lambda: Representation("application/json", document())),
        "/docs": Made(lambda: Representation(_HTML, _static("docs.html"))),
        "/docs/": redirect("../docs"),
        "/docs/page.js": Made(lambda: Representation(_SCRIPT, _static("page.js"))),
        "/docs/errors": Made(lambda: Representation(_HTML, errors_page())),
        **{f"/docs/assets/{name}": _asset(name, media_type) for name, media_type in _ASSETS.items()},
    }
    if exposition is not None:
        pages["/metrics"] = metrics_page(exposition)
    return pages


def template_of(path: str) -> str:
    """The route that metrics name for the path of a page. All pages of the site count as one."""
    return f"{GUIDE}{{path}}" if path.startswith(GUIDE) else path.rstrip("/") or "/"


def metrics_page(exposition: Callable[[], bytes]) -> OpenPage:
    """The metrics, made at most once a second, however many clients ask."""
    return Made(lambda: Representation(CONTENT_TYPE_LATEST, exposition(), may_be_kept=False), seconds=METRICS_SECONDS)


def redirect(location: str) -> OpenPage:
    """A redirect to a URL relative to the one that the client asked for."""
    return _Constant(Answer(302, b"", ((b"content-type", b"text/plain"), (b"location", location.encode()))))


def errors_page() -> bytes:
    """docs/errors.md as HTML. The `type` of each problem points to the paragraph of its code."""
    parser = MarkdownIt().enable("table")
    tokens = parser.parse(files("wallet.http.document").joinpath("errors.md").read_text("utf-8"))
    for heading, title in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", title.content)
    body = parser.renderer.render(tokens, parser.options, {})
    return _static("errors.html").replace(b"<!-- errors -->", body.encode())


def _static(name: str) -> bytes:
    return files("wallet.http.open").joinpath("static", name).read_bytes()


def _asset(name: str, media_type: str) -> OpenPage:
    return Made(lambda: Representation(media_type, files("swagger_ui").joinpath("static", name).read_bytes()))
