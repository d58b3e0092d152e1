"""The documentation site: from docs/ to the folder that the service serves at /docs/guide/. Begin with __main__."""
