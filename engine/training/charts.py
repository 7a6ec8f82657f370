"""Loss curves drawn with Pillow: one line per column of a stage's CSV."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image, ImageDraw

INKS = (
    (196, 58, 49),
    (38, 96, 196),
    (44, 140, 72),
    (150, 92, 190),
    (214, 140, 30),
    (60, 60, 66),
    (20, 150, 160),
)


def draw_curves(table: Path, picture: Path, size: tuple[int, int] = (720, 400)) -> None:
    """Read a CSV whose first column is the step; write a PNG, every other column scaled to its own range."""
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    names, values = rows[0][1:], [[float(cell) for cell in row] for row in rows[1:]]
    if len(values) < 2:
        return
    image = Image.new("RGB", size, (252, 252, 250))
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = 16, 16 + 14 * len(names), size[0] - 16, size[1] - 28
    draw.rectangle((left, top, right, bottom), outline=(190, 190, 190))
    first, last = values[0][0], values[-1][0]
    draw.text((left, bottom + 6), f"step {first:.0f}", fill=(90, 90, 90))
    draw.text((right - 80, bottom + 6), f"step {last:.0f}", fill=(90, 90, 90))
    for i, name in enumerate(names):
        column = _smoothed([row[i + 1] for row in values])
        low, high = min(column), max(column)
        span = (high - low) or 1.0
        points = [
            (
                left + (right - left) * (row[0] - first) / ((last - first) or 1.0),
                bottom - (bottom - top) * (value - low) / span,
            )
            for row, value in zip(values, column, strict=True)
        ]
        draw.line(points, fill=INKS[i % len(INKS)], width=2)
        draw.text(
            (left, 10 + 14 * i),
            f"{name}: {low:.4g} to {high:.4g}, last {column[-1]:.4g}",
            fill=INKS[i % len(INKS)],
        )
    image.save(picture)


def _smoothed(column: list[float]) -> list[float]:
    window = max(1, len(column) // 60)
    return [
        sum(column[max(0, i - window) : i + 1]) / (i + 1 - max(0, i - window)) for i in range(len(column))
    ]
