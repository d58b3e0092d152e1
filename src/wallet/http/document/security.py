"""The keys in the OpenAPI document: the routes that need one, the scopes they need, and the answers without them."""

from collections.abc import Iterator
from typing import Any, Final

from litestar import Litestar
from litestar.routes import HTTPRoute

from wallet.http.edge.needs import Needs, needs_of

SCHEME: Final = "key"
_SCHEMES: Final = {
    SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of this service, `wlt_…`. In development mode it may be left out.",
    }
}
_PROBLEMS: Final = {
    "401": "`unauthenticated`: no key, or one that is unknown, expired or revoked.",
    "403": "`forbidden`: the key does not have the scope that this needs.",
    "429": "`rate_limited`: the key asks too often. Ask again after Retry-After seconds.",
}
_PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def add_security(app: Litestar, schema: dict[str, Any]) -> None:
    """Complete the document of this application by changing `schema`."""
    schema["components"]["securitySchemes"] = _SCHEMES
    for path, method, needed in _operations(app):
        operation = schema["paths"].get(path, {}).get(method)
        if operation is None or not needed.scopes:
            continue
        names = " or ".join(f"`{scope.value}`" for scope in needed.scopes)
        which = f"Needs scope {names}" + (", and a key that is not bound." if needed.unbound else ".")
        operation["description"] = f"{operation.get('description', '')}\n\n{which}".strip()
        operation["security"] = [{SCHEME: []}]
        for status, meaning in _PROBLEMS.items():
            operation["responses"][status] = {"description": meaning, "content": _PROBLEM}


def _operations(app: Litestar) -> Iterator[tuple[str, str, Needs]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    yield route.path_format, method.lower(), needs_of(handler)
