"""Helpers for the tests of the console."""

from __future__ import annotations

import re

import requests
from playwright.sync_api import Page

from tests.harness import API_KEY, Relay


def sign_in(page: Page, relay: Relay, key: str = API_KEY) -> None:
    """Sign in with the form."""
    page.goto(f"{relay.url}/console/sign-in")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()


class Client:
    """The console without a browser."""

    def __init__(self, relay: Relay) -> None:
        self.url = relay.url
        self.session = requests.Session()
        self.session.headers["Accept"] = "text/html"

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.session.get(self.url + path, headers=headers, timeout=20, allow_redirects=False)

    def post(self, path: str, **data: str) -> requests.Response:
        return self.session.post(self.url + path, data=data, timeout=20, allow_redirects=False)

    def sign_in(self, key: str, **data: str) -> requests.Response:
        form = self.get("/console/sign-in").text
        return self.post("/console/sign-in", key=key, csrf_token=token_in(form), **data)


def token_in(page: str) -> str:
    """Return the CSRF token of a form in a page."""
    match = re.search(r'name="csrf_token" value="([0-9a-f]{32})"', page)
    assert match, page
    return match[1]
