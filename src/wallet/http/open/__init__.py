"""Pages that need no key: health, the OpenAPI document and the pages that show it, metrics. Each is made once and sent
as it is; readiness, which must be asked each time, is in routes/status. Begin with pages.
"""
