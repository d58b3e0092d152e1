"""The OpenAPI document and the errors page, made from the code. Begin with openapi."""
