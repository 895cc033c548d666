"""`python -m app` is `cams-relay`, for where the package isn't installed."""

from app.cli import main

main()
