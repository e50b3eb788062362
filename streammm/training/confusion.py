"""What is taken for what, as a picture: a square for each pair of labels, darker the larger its share of the row."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_SIDE = 480
_LARGEST_CELL, _LEAST_CELL, _LEAST_CELL_WITH_NUMBER = 44.0, 3.0, 20.0
_LETTER, _MOST_LETTERS = 7.0, 24
_RIGHT, _WRONG = (34, 120, 90), (190, 60, 50)


def confusion_svg(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    """A confusion matrix as SVG: rows are what is true, columns what is said.

    Args:
        labels: of rows and columns alike, K of them.
        matrix: how often each label (row) was taken for each (column), [K, K].
    """
    cell = max(_LEAST_CELL, min(_LARGEST_CELL, _SIDE / len(labels)))
    names = [label if len(label) <= _MOST_LETTERS else label[: _MOST_LETTERS - 1] + "…" for label in labels]
    size = min(12.0, max(2.0, cell - 1))
    margin = 24 + max(map(len, names)) * _LETTER * size / 12
    side = margin + cell * len(labels) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side:.0f} {side:.0f}" width="{side:.0f}" '
        f'font-family="sans-serif" font-size="{size:.1f}"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{margin:.1f}" y="11" font-size="11" fill="#666">said, across; true, down</text>',
        f'<rect x="{margin:.1f}" y="{margin:.1f}" width="{cell * len(labels):.1f}" height="{cell * len(labels):.1f}" '
        'fill="none" stroke="#ccc"/>',
    ]
    for n, name in enumerate(names):
        middle = margin + (n + 0.5) * cell
        parts.append(
            f'<text x="{margin - 4:.1f}" y="{middle:.1f}" text-anchor="end" dominant-baseline="central">'
            f"{escape(name)}</text>"
        )
        parts.append(
            f'<text transform="translate({middle:.1f} {margin - 4:.1f}) rotate(-90)" dominant-baseline="central">'
            f"{escape(name)}</text>"
        )
    for i, row in enumerate(matrix):
        for k, count in enumerate(row):
            if count:
                parts.append(_cell(margin + k * cell, margin + i * cell, cell, count, sum(row), i == k))
                parts.append(
                    f"<title>{escape(f'{labels[i]}, taken for {labels[k]}: {count} of {sum(row)}')}</title></g>"
                )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _cell(x: float, y: float, side: float, count: int, total: int, is_right: bool) -> str:
    """The beginning of a group that holds a square and, if there is room, its number."""
    share = count / total
    red, green, blue = (round(255 + (c - 255) * (0.12 + 0.88 * share)) for c in (_RIGHT if is_right else _WRONG))
    square = (
        f'<g><rect x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" fill="rgb({red},{green},{blue})"/>'
    )
    if side < _LEAST_CELL_WITH_NUMBER:
        return square
    ink = "white" if share > 0.5 else "#222"
    middle = f'x="{x + side / 2:.1f}" y="{y + side / 2:.1f}"'
    return f'{square}<text {middle} text-anchor="middle" dominant-baseline="central" fill="{ink}">{count}</text>'
