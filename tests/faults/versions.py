"""Data of earlier versions, created by `scripts/store-fixture`, and the settings to open it with."""

from pathlib import Path

FOLDER = Path(__file__).parent / "kept"
ENVIRONMENT = {
    "RELAY_SECRET_KEY": "made-up-secret-key-for-tests-only-0123456789",
    # Otherwise, the stored data would be too old one day.
    "RELAY_RETENTION_DAYS": "3650",
    "RELAY_DEDUPE_DAYS": "3650",
}
