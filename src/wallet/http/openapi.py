"""The OpenAPI document, and the page that shows it. Both work offline: the page's files are served by us."""

from importlib.resources import files
from typing import Any, Final

import msgspec
from litestar import Litestar, Request
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin

from wallet import __version__
from wallet.http import bodies

BODIES: Final = (
    bodies.WalletMovement,
    bodies.Transfer,
    bodies.Transaction,
    bodies.NewUser,
    bodies.NewWallet,
    bodies.NewAsset,
)
_REFERENCE: Final = "#/components/schemas/{name}"
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
PAGE_SCRIPT: Final = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger", deepLinking: true, validatorUrl: null,
});
"""


def document(app: Litestar) -> bytes:
    """The whole document, in a stable order. Request bodies are described by the types that decode them."""
    schema = app.openapi_schema.to_schema()
    _, components = msgspec.json.schema_components(BODIES, ref_template=_REFERENCE)
    schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2) + b"\n"


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Wallet service",
        version=__version__,
        description="Double-entry wallets: top up, reward, spend and transfer; every movement once, whatever happens.",
        path="/docs",
        render_plugins=[_Page(path="/"), _Document(path="/openapi.json")],
    )


def page_files() -> str:
    """The folder of the page's scripts and styles."""
    return str(files("swagger_ui").joinpath("static"))


class _Document(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return document(request.app)


class _Page(OpenAPIRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return _PAGE.encode()
