"""The answer to a request that gunicorn can't read: a sentence that repeats nothing from the request.

If a client leaves out the length of a body, the body is read as the next request. gunicorn's own messages would show
it, including its AuthToken, in the answer and in the log.
"""

from __future__ import annotations

from http import HTTPStatus

from app.base.gunicorn_internals import UnreadableRequest, errors

# HTTP's own methods and versions: no secret looks like one.
_TOLD_HEADERS = {
    name.upper(): name
    for name in ("Content-Length", "Transfer-Encoding", "Host", "Content-Type", "Content-Encoding", "Cookie")
}
_SENTENCES: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.InvalidRequestMethod, 400, "The request's method is not valid."),
    (errors.InvalidHTTPVersion, 400, "The request's HTTP version is not supported. Use HTTP/1.1."),
    (
        errors.InvalidRequestLine,
        400,
        "This is not an HTTP request. It may be the body of the previous request, if that had no Content-Length.",
    ),
    (errors.LimitRequestLine, 414, "The URL is too long."),
    (errors.LimitRequestHeaders, 431, "The request has too many headers, or one that is too long."),
    (errors.ObsoleteFolding, 400, "A header is continued on a second line, which HTTP no longer allows."),
    (errors.UnsupportedTransferCoding, 501, "This Transfer-Encoding is not supported. Use chunked."),
    (errors.ExpectationFailed, 417, "The value of the Expect header is not supported. Leave the header out."),
    (errors.ForbiddenProxyRequest, 403, "The request is forbidden."),
    (errors.InvalidHeaderName, 400, "A header's name is not valid."),
    (errors.InvalidHeader, 400, "A header is not valid."),
)
# These are bugs of the application, although their classes suggest otherwise.
_OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)


def refusal(error: BaseException) -> tuple[int, str, str] | None:
    """Return status, title and sentence for a request that can't be read, or None if the client isn't at fault."""
    if not isinstance(error, UnreadableRequest) or isinstance(error, _OURS):
        return None
    status, sentence = 400, "The request is not valid HTTP."
    for kind, its_status, its_sentence in _SENTENCES:
        if isinstance(error, kind):
            status, sentence = its_status, its_sentence
            break
    name = _TOLD_HEADERS.get(str(getattr(error, "hdr", "")).upper())
    if name is not None and isinstance(error, errors.InvalidHeader):
        sentence = f"The header {name} is not valid."
    return status, HTTPStatus(status).phrase, sentence
