"""PostgreSQL. The only package that imports the driver or holds SQL; it knows no rule."""
