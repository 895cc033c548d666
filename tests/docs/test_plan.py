"""docs/architecture.md and its picture, docs/plan.svg, name all packages, files and scripts, and no others."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from scripts import plan
from tests.harness import ROOT

_SVG = "{http://www.w3.org/2000/svg}"


def packages() -> set[str]:
    found = {f"app.{path.parent.name}" for path in (ROOT / "app").glob("*/__init__.py")}
    return found | {"workers"}


def test_every_package_is_in_the_import_contract() -> None:
    assert {name for layer in plan.layers() for name in layer} == packages()


def test_the_picture_shows_every_package_once_and_inside_the_frame() -> None:
    drawn = ElementTree.fromstring((ROOT / "docs" / "plan.svg").read_text())
    texts = [text.text for text in drawn.iter(f"{_SVG}text")]
    assert sorted(name for name in texts if name in packages() | {"simulator"}) == sorted(
        packages() | {"simulator"}
    )
    width, height = map(float, drawn.attrib["viewBox"].split()[2:])
    boxes = [box.attrib for box in drawn.iter(f"{_SVG}rect")][1:]
    spans = [(float(box["x"]), float(box["x"]) + float(box["width"]), float(box["y"])) for box in boxes]
    assert all(0 < left < right < width and 0 < top < height for left, right, top in spans)
    assert not [
        (one, other)
        for one in spans
        for other in spans
        if one is not other and one[2] == other[2] and one[0] <= other[0] < one[1]
    ]


def test_arrows_match_the_imports() -> None:
    names = [name for layer in plan.layers() for name in layer]
    edges = plan.imports(names)
    arrows = plan.without_implied(edges)
    assert set(arrows) <= edges

    def reached(start: str) -> set[str]:
        found = {end for begin, end in arrows if begin == start}
        return found.union(*(reached(end) for end in found)) if found else found

    assert all(imported in reached(importer) for importer, imported in edges)


def test_implied_imports_have_no_arrow() -> None:
    assert plan.without_implied({("a", "b"), ("b", "c"), ("a", "c")}) == [("a", "b"), ("b", "c")]


def page() -> str:
    text = (ROOT / "docs" / "architecture.md").read_text()
    return re.sub(r"<!-- generated: .*?<!-- /generated -->", "", text, flags=re.DOTALL)


def test_every_file_named_in_the_page_exists() -> None:
    named = set(re.findall(r"`((?:app|workers|tests)/[\w/.]+)`", page()))
    assert len(named) > 30
    assert not {name for name in named if not (ROOT / name).exists()}
    scripts = set(re.findall(r"`(\w+\.lua)`", page()))
    assert not {name for name in scripts if not (ROOT / "app" / "store" / "scripts" / name).exists()}


def test_the_page_names_the_scripts_that_check_the_lease() -> None:
    checking = {
        path.name
        for path in (ROOT / "app" / "store" / "scripts").glob("*.lua")
        if "return 'lease'" in path.read_text()
    }
    sentence = re.search(
        r"The scripts that change it check the lease.*?They write nothing", page(), re.DOTALL
    )
    assert sentence and set(re.findall(r"`(\w+\.lua)`", sentence[0])) == checking
