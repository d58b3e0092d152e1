"""The OpenAPI document, made from the routes and the types of bodies and answers."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Server
from litestar.routes import HTTPRoute

from wallet import __version__
from wallet.http.document.parameters import described
from wallet.http.document.security import add_security
from wallet.http.open.pages import OpenPages
from wallet.http.routes.documentation import NoPage, folder_router
from wallet.http.routes.shared import Documented
from wallet.http.wire.encoding import AMOUNT_FIELDS

_REFERENCE: Final = "#/components/schemas/{name}"
# As a key, as a title, and at the end of a reference.
_NAME_OF_A_BODY: Final = re.compile(rb'(?<=["/])([A-Z]\w+)Body(?=")')
# Our own code reads these parameters on every request, so no handler's signature has them.
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
# Metadata is stored and answered as the bytes that were sent, so no type describes it.
_UNDESCRIBED: Final[dict[str, Any]] = {}
_AS_IT_WAS_GIVEN: Final = {"description": "As it was given: any JSON."}
_METADATA_AS_IT_WAS_GIVEN: Final = {"description": "As it was given.", "type": ["object", "null"]}
_AMOUNT_AS_STRING: Final = {"type": "string", "pattern": "^-?[0-9]+$", "description": "With ?amounts=string."}
# The media types that a route answers besides JSON.
_OTHER_MEDIA_TYPES: Final = {"/wallets/{wallet_id}/statement": "text/csv"}


def document(app: Litestar) -> bytes:
    """The whole document, in a stable order. The types that decode request bodies describe them, too."""
    schema = app.openapi_schema.to_schema()
    answers = schema.setdefault("components", {}).setdefault("schemas", {})
    for each in answers.values():
        properties = each.get("properties", {})
        _let_amounts_be_strings(properties)
        for name, property_ in properties.items():
            if _UNDESCRIBED in property_.get("oneOf", ()):
                properties[name] = _METADATA_AS_IT_WAS_GIVEN if name == "metadata" else _AS_IT_WAS_GIVEN
    answers.update(_components(app))
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


def _components(app: Litestar) -> dict[str, Any]:
    """The schemas of all request bodies, by their names in the document."""
    _, components = msgspec.json.schema_components(_bodies(app), ref_template=_REFERENCE)
    renamed: dict[str, Any] = msgspec.json.decode(_NAME_OF_A_BODY.sub(rb"\1", msgspec.json.encode(components)))
    return renamed


def _bodies(app: Litestar) -> Iterator[type[msgspec.Struct]]:
    """The types of all request bodies, as the routes name them."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if issubclass(handler.operation_class, Documented):
                    yield handler.operation_class.body


def _let_amounts_be_strings(properties: dict[str, Any]) -> None:
    """Describe amounts in answers as integers, or strings if the client asks with ?amounts=string."""
    for name in AMOUNT_FIELDS & properties.keys():
        kinds = properties[name].get("oneOf", [properties[name]])
        if {"type": "integer"} in kinds:
            properties[name] = {"oneOf": [*kinds, _AMOUNT_AS_STRING]}


def openapi_config(pages: OpenPages, *, public_url: str) -> OpenAPIConfig:
    """public_url: the URL at which clients reach the service. Empty: the URL of the document without its last part."""
    return OpenAPIConfig(
        title="Wallet service",
        version=__version__,
        description="Double-entry wallets: top up, reward, spend and transfer; every movement once, whatever happens.",
        servers=[Server(url=public_url or ".")],
        use_handler_docstrings=True,
        render_plugins=[NoPage()],
        openapi_router=folder_router(pages),
    )
