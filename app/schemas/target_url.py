"""The field for a URL that the relay will call."""

from __future__ import annotations

from typing import Any

from flask import current_app
from marshmallow import ValidationError, fields

from app.base.addresses import MAX_URL, UrlRefused
from app.base.request_schema import Length


class TargetUrl(fields.String):
    """A URL that the address guard accepts. The value is normalised by the guard, and is the URL that is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=Length(max=MAX_URL), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            url: str = current_app.extensions["guard"].check_url(text)
        except UrlRefused as error:
            raise ValidationError(str(error)) from None
        return url
