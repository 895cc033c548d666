"""docs/develop/add-a-console-page.md: adds a page About that shows the version."""

from __future__ import annotations

from tests.walks.copied_tree import CopiedTree

PAGE = "docs/develop/add-a-console-page.md"
TEST = "tests/console/test_about.py"
TEXTS = ("tests/console/test_texts.py",)
TESTS = (*TEXTS, TEST, "tests/docs/test_docs_are_up_to_date.py", "tests/security/test_scopes.py")


def add_view(tree: CopiedTree) -> None:
    """Create the blueprint, register it, and add it to the menu."""
    tree.create(
        "app/console/about.py",
        '''"""About: the version of the relay."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api import health_and_metrics
from app.api.auth import needs
from app.console.frame import api, page

blueprint = Blueprint("about", __name__, url_prefix="/console/about")


@blueprint.get("")
@needs("metrics:read")
def show() -> Response:
    """The version."""
    return page("about", health=api(health_and_metrics.health))
''',
    )
    tree.replace("app/console/__init__.py", "import (\n    actions,", "import (\n    about,\n    actions,")
    tree.insert("app/console/__init__.py", "    about,\n", before="    files,\n):")
    tree.insert(
        "app/console/frame.py",
        '    "about": ("/console/about", ("metrics:read",)),\n',
        after='    "health": ("/console/health", ("metrics:read",)),\n',
    )


def add_template(tree: CopiedTree) -> None:
    """Create the template."""
    tree.create(
        "app/console/templates/console/about.html",
        """{% extends "console/frame.html" %}
{% set here = "about" %}
{% import "console/macros.html" as m %}
{% block title %}{{ t("about.title") }}{% endblock %}
{% block main %}
{% call m.start(t("about.title")) %}{% endcall %}
<dl class="facts">{{ m.fact(t("about.version"), health.version) }}</dl>
{% endblock %}
""",
    )


def add_texts(tree: CopiedTree) -> None:
    """Add all texts. Translators translate this file."""
    texts = "app/console/texts.en.toml"
    tree.insert(texts, 'about = "About"\n', after='health = "Health"\n')
    tree.insert(texts, '[about]\ntitle = "About this relay"\nversion = "Version"\n\n', before="[sign_in]\n")


def document(tree: CopiedTree) -> None:
    """Add a row to the table of pages, and say what an API key can see and change at this URL."""
    tree.insert(
        "app/api/scope_table.py",
        '    "GET /console/about": Url("the version"),\n',
        before='    "GET /console/health": Url(',
    )
    tree.insert(
        "docs/console.md", "| About | the version | `metrics:read` |\n", before="\nAttendance opens with"
    )


def add_test(tree: CopiedTree) -> None:
    """Add a test that opens the page."""
    tree.create(
        TEST,
        '''"""About shows the version to those who may see it."""

from __future__ import annotations

from app import __version__
from tests.console.tools import Client
from tests.harness import API_KEY, Relay


def test_about_shows_the_version(relay: Relay) -> None:
    client = Client(relay)
    client.sign_in(API_KEY)
    shown = client.get("/console/about")
    assert shown.status_code == 200 and f">{__version__}<" in shown.text and "About this relay" in shown.text
''',
    )
