"""Text tables with named columns: examples that read like a specification. `->` only parts causes from effects."""


def rows(table: str) -> list[dict[str, str]]:
    """The rows of a table, by column name."""
    header, *lines = [line.split() for line in table.strip().splitlines()]
    names = [name for name in header if name != "->"]
    cells = [[cell for cell in line if cell != "->"] for line in lines]
    return [dict(zip(names, line, strict=True)) for line in cells]


def number(cell: str) -> int | None:
    """A cell as a number: `MAX` is the greatest amount there is, `-` is none."""
    if cell == "-":
        return None
    return 2**63 - 1 if cell == "MAX" else int(cell)
