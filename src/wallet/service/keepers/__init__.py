"""Background work with one leader among all processes. Begin with leader."""
