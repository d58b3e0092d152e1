"""Small SVG charts as text. Every chart has its figures as text too, so nothing is told by colour alone."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10

_WIDTH = 720
_LABELS = 230.0
_RIGHT = 90
_ROW = 26
SERIES = ("var(--one)", "var(--two)", "var(--three)", "var(--four)", "var(--five)", "var(--six)")


def _svg(height: float, content: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        + "".join(content)
        + "</svg>"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", quiet: bool = False) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{" class=quiet" if quiet else ""}>{escape(text)}</text>'
    )


def _legend(names: Sequence[str], *, left: float) -> tuple[list[str], float]:
    """Names with their colours in as many lines as it takes, and the height of that."""
    parts, x, y = [], left, 14.0
    for name, colour in zip(names, SERIES, strict=False):
        width = 32 + 7 * len(name)
        if x + width > _WIDTH and x > left:
            x, y = left, y + 18
        parts.append(f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(x + 15, y, name))
        x += width
    return parts, y + 10


def bars(
    title: str, rows: Mapping[str, float], *, unit: str = "", dots: Mapping[str, Sequence[float]] | None = None
) -> str:
    """One horizontal bar a row; `dots` are the single runs behind a row's median."""
    dots = dots or {}
    most = max([*rows.values(), *(value for values in dots.values() for value in values), 1e-9])
    scale = (_WIDTH - _LABELS - _RIGHT) / most
    parts = []
    for index, (name, value) in enumerate(rows.items()):
        y = index * _ROW + 4
        parts.append(_text(_LABELS - 10, y + 14, name, anchor="end"))
        parts.append(
            f'<rect x="{_LABELS}" y="{y}" width="{max(value * scale, 1):.1f}" height="18" rx="2" fill="{SERIES[0]}">'
            f"<title>{escape(name)}: {value:,.4g}{escape(unit)}</title></rect>"
        )
        parts.extend(
            f'<circle cx="{_LABELS + each * scale:.1f}" cy="{y + 9}" r="3" class="dot"/>' for each in dots.get(name, ())
        )
        furthest = max([value, *dots.get(name, ())])
        parts.append(_text(_LABELS + furthest * scale + 8, y + 14, f"{_number(value)}{unit}"))
    return _svg(len(rows) * _ROW + 8, parts, title)


def stacked(title: str, rows: Mapping[str, Mapping[str, float]], *, unit: str = "") -> str:
    """One bar a row, made of parts; the parts have the same colour in each row."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    scale = (_WIDTH - _LABELS - _RIGHT) / max([sum(row.values()) for row in rows.values()] + [1e-9])
    parts, top = _legend(names, left=_LABELS)
    for index, (row_name, row) in enumerate(rows.items()):
        y, x = index * _ROW + top, float(_LABELS)
        parts.append(_text(_LABELS - 10, y + 14, row_name, anchor="end"))
        for name, value in row.items():
            width = value * scale
            if value <= 0:
                continue
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{max(width - 1, 0.5):.1f}" height="18"'
                f' fill="{SERIES[names.index(name) % len(SERIES)]}">'
                f"<title>{escape(row_name)}, {escape(name)}: {value:,.4g}{escape(unit)}</title></rect>"
            )
            x += width
        parts.append(_text(x + 8, y + 14, f"{_number(sum(row.values()))}{unit}"))
    return _svg(len(rows) * _ROW + top + 4, parts, title)


def lines_logarithmic(title: str, series: Mapping[str, Sequence[tuple[float, float]]], *, x_unit: str) -> str:
    """Lines of (x, percent) points with a logarithmic x axis: how many per cent are at most x."""
    left = 50
    parts, top = _legend(list(series), left=left)
    top, height = top + 10, top + 290
    xs = [x for points in series.values() for x, _ in points if x > 0]
    if not xs:
        return ""
    low, high = int(log10(min(xs)) // 1), int(log10(max(xs)) // 1) + 1
    plot_width, plot_height = _WIDTH - left - 20, height - top - 30

    def place(x: float, percent: float) -> tuple[float, float]:
        return (
            left + (log10(x) - low) / (high - low) * plot_width,
            top + plot_height * (1 - percent / 100),
        )

    for exponent in range(low, high + 1):
        x, _ = place(10.0**exponent, 0)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + plot_height}" class="grid"/>')
        parts.append(_text(x, height - 12, f"{10.0**exponent:g} {x_unit}", anchor="middle", quiet=True))
    for percent in (0, 25, 50, 75, 100):
        _, y = place(10.0**low, percent)
        parts.append(f'<line x1="{left}" x2="{left + plot_width}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(_text(left - 8, y + 4, f"{percent} %", anchor="end", quiet=True))
    for (name, points), colour in zip(series.items(), SERIES, strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(x, p) for x, p in points if x > 0))
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2">'
            f"<title>{escape(name)}</title></polyline>"
        )
    return _svg(height, parts, title)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"
