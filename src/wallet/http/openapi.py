"""The OpenAPI document, and the page that shows it. Both work offline: the page's files are served by us."""

from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Litestar, MediaType, Request, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.params import FromPath
from litestar.response import File, Redirect
from litestar.types import ControllerRouterHandler
from markdown_it import MarkdownIt

from wallet import __version__
from wallet.http import bodies
from wallet.http.batches import Batch
from wallet.http.key_bodies import NewKey
from wallet.http.parameters import described
from wallet.http.programme_bodies import ClockAdvance, NewProgramme
from wallet.http.scopes import open_to_all
from wallet.http.security import add_security
from wallet.http.writing import AMOUNT_FIELDS

BODIES: Final = (
    bodies.TopUp,
    bodies.Bonus,
    bodies.Spend,
    bodies.Transfer,
    bodies.Transaction,
    bodies.NewHold,
    bodies.Capture,
    bodies.Void,
    bodies.Increase,
    bodies.Extend,
    bodies.Refund,
    bodies.Merge,
    bodies.WalletChange,
    bodies.WalletStep,
    bodies.NewUser,
    bodies.NewWallet,
    bodies.NewAsset,
    bodies.AssetChange,
    NewProgramme,
    ClockAdvance,
    Batch,
    NewKey,
)
_REFERENCE: Final = "#/components/schemas/{name}"
# Read by our own rules on every request, so no handler's signature has them.
_SHARED_PARAMETERS: Final = {
    "amounts": {
        "name": "amounts",
        "in": "query",
        "description": "Answer amounts as strings, for clients whose numbers are doubles.",
        "schema": {"type": "string", "enum": ["string"]},
    },
    "idempotency_key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The reference_id, if it is not in the body; if it is in both, they must agree.",
        "schema": {"type": "string", "pattern": "^[ !#-~]{1,255}$"},
    },
}
# Stored as it was sent, so its answer is bytes that no type describes.
_UNDESCRIBED: Final[dict[str, Any]] = {}
_AS_IT_WAS_GIVEN: Final = {"description": "As it was given: any JSON."}
_METADATA_AS_IT_WAS_GIVEN: Final = {"description": "As it was given.", "type": ["object", "null"]}
_AMOUNT_AS_STRING: Final = {"type": "string", "pattern": "^-?[0-9]+$", "description": "With ?amounts=string."}
# What a route answers besides JSON, for who prefers it.
_OTHER_MEDIA_TYPES: Final = {"/wallets/{wallet_id}/statement": "text/csv"}
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Wallet service API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/page.js"></script>
</body>
</html>
"""
_PAGE_SCRIPT: Final = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger", deepLinking: true, validatorUrl: null,
});
"""

_ERRORS_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Errors of the wallet service</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
pre, code {{ font-family: ui-monospace, monospace; background: #f4f4f6; }}
pre {{ padding: 1rem; overflow-x: auto; }}
:target {{ background: #fff3bf; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def document(app: Litestar) -> bytes:
    """The whole document, in a stable order. Request bodies are described by the types that decode them."""
    schema = app.openapi_schema.to_schema()
    _, components = msgspec.json.schema_components(BODIES, ref_template=_REFERENCE)
    answers = schema.setdefault("components", {}).setdefault("schemas", {})
    for each in answers.values():
        properties = each.get("properties", {})
        _let_amounts_be_strings(properties)
        for name, property_ in properties.items():
            if _UNDESCRIBED in property_.get("oneOf", ()):
                properties[name] = _METADATA_AS_IT_WAS_GIVEN if name == "metadata" else _AS_IT_WAS_GIVEN
    answers.update(components)
    for path, media_type in _OTHER_MEDIA_TYPES.items():
        schema["paths"][path]["get"]["responses"]["200"]["content"][media_type] = {"schema": {"type": "string"}}
    schema["components"]["parameters"] = _SHARED_PARAMETERS
    add_security(app, schema)
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            own = [described(path, each) for each in operation.get("parameters", ())]
            shared = {"operations": (), "movements": _SHARED_PARAMETERS}.get(operation["tags"][0], ("amounts",))
            operation["parameters"] = own + [{"$ref": f"#/components/parameters/{name}"} for name in shared]
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2) + b"\n"


def _let_amounts_be_strings(properties: dict[str, Any]) -> None:
    """Amounts in answers are integers, or strings for who asks with ?amounts=string."""
    for name in AMOUNT_FIELDS & properties.keys():
        kinds = properties[name].get("oneOf", [properties[name]])
        if {"type": "integer"} in kinds:
            properties[name] = {"oneOf": [*kinds, _AMOUNT_AS_STRING]}


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Wallet service",
        version=__version__,
        description="Double-entry wallets: top up, reward, spend and transfer; every movement once, whatever happens.",
        path="/docs",
        use_handler_docstrings=True,
        render_plugins=[_Page(path="/"), _Document(path="/openapi.json")],
        openapi_router=Router(path="/docs", route_handlers=[], include_in_schema=False, opt=open_to_all()),
    )


def page_routes() -> list[ControllerRouterHandler]:
    """The document at its promised place, the page's files, and the page that problems link to."""

    @get("/", include_in_schema=False, opt=open_to_all(), sync_to_thread=False)
    def root() -> Redirect:
        return Redirect("/docs")

    @get("/openapi.json", include_in_schema=False, opt=open_to_all(), media_type=MediaType.JSON, sync_to_thread=False)
    def openapi(request: Request[Any, Any, Any]) -> bytes:
        return document(request.app)

    @get(
        "/docs/page.js", include_in_schema=False, opt=open_to_all(), media_type="text/javascript", sync_to_thread=False
    )
    def page_script() -> str:
        return _PAGE_SCRIPT

    @get("/docs/errors", include_in_schema=False, opt=open_to_all(), media_type=MediaType.HTML, sync_to_thread=False)
    def errors() -> str:
        return _errors_page()

    assets = {each.name: each for each in Path(str(files("swagger_ui").joinpath("static"))).iterdir()}

    # Names looked up, not paths resolved: there is nothing to break out of, and no name that the system refuses.
    @get("/docs/assets/{name:str}", include_in_schema=False, opt=open_to_all(), sync_to_thread=False)
    def asset(name: FromPath[str]) -> File:
        if name not in assets:
            raise NotFoundException
        return File(assets[name], filename=name, content_disposition_type="inline")

    return [root, openapi, page_script, errors, asset]


@cache
def _errors_page() -> str:
    parser = MarkdownIt().enable("table")
    tokens = parser.parse(files("wallet.http").joinpath("errors.md").read_text("utf-8"))
    for heading, title in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", title.content)
    return _ERRORS_PAGE.format(body=parser.renderer.render(tokens, parser.options, {}))


class _Document(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return document(request.app)


class _Page(OpenAPIRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return _PAGE.encode()
