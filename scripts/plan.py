"""Draws docs/plan.svg: the packages in the order of the import contract, and which of them imports which.

An arrow that other arrows imply is left out: a package may also import everything below the packages that it imports.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

import grimp

_ROOT = Path(__file__).resolve().parent.parent
_WIDTH, _MARGIN = 920, 24
_TOP, _ROW, _BOX = 56, 66, 32  # pixels: the first row, the distance of rows, a box's height
_LETTER, _PADDING = 7.7, 12
_COLUMNS = 7
# The column of a package in its row, so that few arrows cross. A package that isn't listed gets the first free column.
_COLUMN = {
    "app.cli": 3,
    **{"app.run": 1, "app.web": 2, "workers": 5},
    **{"app.console": 2, "app.mcp": 3, "app.connector": 6},
    **{"app.api": 2, "app.openapi": 3},
    **{"app.live": 0, "app.health": 1, "app.callbacks": 2},
    **{"app.limits": 2, "app.schemas": 3, "app.store": 2},
    **{"app.settings": 1, "app.attendance": 1, "app.events": 2},
    **{"app.gateway": 2, "app.base": 2, "simulator": 5},
}

_STYLE = """
    .ground { fill: #f8fafc; stroke: #94a3b8 }
    .box { fill: #ffffff; stroke: #475569 }
    .alone { fill: #f1f5f9; stroke: #94a3b8; stroke-dasharray: 4 3 }
    .arrow { fill: none; stroke: #0284c7; stroke-width: 1.2 }
    .head { fill: #0284c7 }
    text { fill: #0f172a }
    .note { fill: #475569; font-size: 13px }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #0f172a; stroke: #475569 }
      .box { fill: #1e293b; stroke: #94a3b8 }
      .alone { fill: #0f172a; stroke: #94a3b8 }
      .arrow { stroke: #38bdf8 }
      .head { fill: #38bdf8 }
      text { fill: #f1f5f9 }
      .note { fill: #cbd5e1 }
    }
"""


class Box(NamedTuple):
    """A package in the picture, by its upper left corner."""

    name: str
    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def layers() -> list[list[str]]:
    """Return the packages by layer, the highest first, as in the import contract."""
    contracts = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    contract = next(one for one in contracts if one["id"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def imports(packages: list[str]) -> set[tuple[str, str]]:
    """Return which package imports which: (importer, imported)."""
    graph = grimp.build_graph("app", "workers", "simulator", cache_dir=None)

    def package_of(module: str) -> str | None:
        return next((name for name in packages if module == name or module.startswith(f"{name}.")), None)

    found = set()
    for module in graph.modules:
        importer = package_of(module)
        for other in graph.find_modules_directly_imported_by(module):
            imported = package_of(other)
            if importer and imported and importer != imported:
                found.add((importer, imported))
    return found


def without_implied(edges: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the edges that no path over other edges replaces, sorted."""
    below: dict[str, set[str]] = {}
    for importer, imported in edges:
        below.setdefault(importer, set()).add(imported)

    def reaches(start: str, end: str) -> bool:
        return end in below.get(start, ()) or any(reaches(step, end) for step in below.get(start, ()))

    return sorted(
        (importer, imported)
        for importer, imported in edges
        if not any(reaches(step, imported) for step in below[importer] if step != imported)
    )


def _placed(rows: list[list[str]]) -> dict[str, Box]:
    boxes = {}
    for number, names in enumerate(rows):
        taken = {_COLUMN[name] for name in names if name in _COLUMN}
        free = iter([column for column in range(_COLUMNS) if column not in taken])
        for name in names:
            column = _COLUMN[name] if name in _COLUMN else next(free)
            width = round(len(name) * _LETTER + 2 * _PADDING, 1)
            middle = _MARGIN + 66 + column * (_WIDTH - 2 * _MARGIN - 132) / (_COLUMNS - 1)
            boxes[name] = Box(name, round(middle - width / 2, 1), _TOP + number * _ROW, width)
    return boxes


def _arrow(start: Box, end: Box) -> str:
    """Draw an arrow from a box straight down to the row above the other one, then to that one's upper edge."""
    aside, top = end.y - (_ROW - _BOX), end.y - 2
    bend = (top - aside) * 0.6
    x1, x2 = round(start.middle, 1), round(end.middle, 1)
    curve = f"C{x1:g} {aside + bend:g} {x2:g} {top - bend:g} {x2:g} {top:g}"
    return f"M{x1:g} {start.y + _BOX:g}V{aside:g}{curve}"


def draw() -> str:
    """Return the picture as SVG, always the same for the same imports."""
    rows = layers()
    arrows = without_implied(imports([name for names in rows for name in names]))
    boxes = _placed([*rows[:-1], [*rows[-1], "simulator"]])
    height = boxes["simulator"].y + _BOX + _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-size="13.5" role="img" '
        'font-family="ui-monospace, \'DejaVu Sans Mono\', monospace" aria-labelledby="title">',
        '  <title id="title">The packages of cams-relay, each above those that it imports: '
        f"{'; '.join(', '.join(names) for names in rows)}. The simulator imports none of them.</title>",
        f"  <style>{_STYLE}  </style>",
        '  <defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="head" d="M0 0 10 5 0 10z"/></marker></defs>',
        f'  <rect class="ground" x="1" y="1" width="{_WIDTH - 2}" height="{height - 2}" rx="14"/>',
        f'  <text class="note" x="{_MARGIN}" y="30" font-family="system-ui, sans-serif">An arrow points to '
        "an imported package. Packages further below may be imported as well.</text>",
    ]
    lines += [
        f'  <path class="arrow" marker-end="url(#head)" d="{_arrow(boxes[importer], boxes[imported])}"/>'
        for importer, imported in arrows
    ]
    for box in boxes.values():
        kind = "alone" if box.name == "simulator" else "box"
        lines.append(
            f'  <rect class="{kind}" x="{box.x:g}" y="{box.y}" width="{box.width:g}" height="{_BOX}" rx="8"/>'
            f'<text x="{box.middle:g}" y="{box.y + 21}" text-anchor="middle">{box.name}</text>'
        )
    lines.append("</svg>")
    return "\n".join(lines) + "\n"
