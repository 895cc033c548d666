"""Checks of a module's output, compared with its interface, and of its errors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.make.app import App, Json, check_shown
from tests.make.runtime import Make, MakeError


def shown(app: App, name: str, bundles: list[Json]) -> list[Json]:
    """Checks the bundles against the module's interface and returns them."""
    for bundle in bundles:
        check_shown(app["module", name].files["interface"], bundle)
    return bundles


def fails(make: Make, name: str, /, **given: Any) -> MakeError:
    with pytest.raises(MakeError) as raised:
        make.run(name, **given)
    return raised.value
