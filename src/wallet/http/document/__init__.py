"""The OpenAPI document, made from the routes and the types of bodies and answers, and errors.md, which is
docs/errors.md. Nothing here is needed to answer a request. Begin with openapi.
"""
