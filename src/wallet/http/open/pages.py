"""What is open to all and the same for everybody, by path: the document, the pages that show it, the figures.

Pages name each other by relative references only, so they work below any prefix that a proxy puts before them.
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
"""How long figures are given again before they are made anew."""

_HTML: Final = "text/html; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_ASSETS: Final = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": _SCRIPT,
    "favicon-32x32.png": "image/png",
}
"""The files of the page of the document, of all that the package has."""


class Health(msgspec.Struct):
    """The process answers."""

    status: str


HEALTHY: Final = Answer(200, written(Health("ok")))


class OpenPage(Protocol):
    """Answers whoever asks for it, by what the request's headers say of encodings and validators."""

    def answer(self, headers: Headers) -> Awaitable[Answer]: ...


OpenPages = Mapping[str, OpenPage]
"""By path."""


class _Constant:
    """An answer that is ready, whatever the headers say."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def answer(self, headers: Headers) -> Answer:
        return self._answer


def open_pages(document: Callable[[], bytes], exposition: Callable[[], bytes] | None) -> OpenPages:
    """All of them, none made yet. document: makes the OpenAPI document. exposition: makes the figures, or None where
    they are served on a port of their own.
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


def metrics_page(exposition: Callable[[], bytes]) -> OpenPage:
    """The figures, made at most once a second, however many ask."""
    return Made(lambda: Representation(CONTENT_TYPE_LATEST, exposition(), may_be_kept=False), seconds=METRICS_SECONDS)


def redirect(location: str) -> OpenPage:
    """To a place that is relative to where the client thinks it is."""
    return _Constant(Answer(302, b"", ((b"content-type", b"text/plain"), (b"location", location.encode()))))


def errors_page() -> bytes:
    """docs/errors.md as HTML; each code's paragraph is where the `type` of its problem points to."""
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
