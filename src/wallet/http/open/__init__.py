"""Pages that need no key: health, the OpenAPI document and the pages that show it, metrics. Each is made once
and sent as it is; an answer that must be made each time, such as readiness, is in routes/. Begin with pages.
"""
