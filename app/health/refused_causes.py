"""Why a source's callbacks match no device, as far as the registered devices show it, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from app.store import Store
from app.store.alerts.refused import NO_DEVICE, Source

REGISTERED_NOW = "is now registered with this AuthToken."


def explanations(store: Store, sources: Iterable[Source]) -> dict[str, str]:
    """Return source → why its callbacks were refused and, if they match no device, what to do about it.

    Device IDs are named, but no AuthTokens. Raises redis errors.
    """
    sources = list(sources)
    unmatched = [source for source in sources if source.latest.detail == NO_DEVICE]
    owners = store.refused.registered(unmatched)
    registered = store.devices.registered({source.latest.device_id for source in unmatched})
    found = {source.id: source.latest.detail for source in sources}
    for source in unmatched:
        found[source.id] = _cause(source, owners.get(source.id, []), registered)
    return found


def _cause(source: Source, owners: list[str], registered: Collection[str]) -> str:
    """`owners` are the devices that have the AuthToken; `registered` are the registered ones among those claimed."""
    claimed = source.latest.device_id
    if owners and claimed and claimed not in owners:
        named = ", ".join(owners)
        return (
            f"The AuthToken belongs to {named}, but the Callback URL is for {claimed}. Correct the Callback URL of "
            f"{named} in the API Monitor."
        )
    if owners and not claimed and len(owners) > 1:
        return (
            f"Several devices have this AuthToken: {', '.join(owners)}. Add the device ID to each Callback URL in the "
            f"API Monitor, e.g. /callback/{owners[0]}."
        )
    if owners:
        return f"{claimed or owners[0]} {REGISTERED_NOW} The gateway sends the callbacks again."
    if claimed in registered and source.latest.token:
        return (
            f"{claimed} is registered with a different AuthToken. Correct its AuthToken: the device's AuthToken in "
            "the API Monitor is not the one registered here."
        )
    if claimed in registered:
        return f"{claimed} is registered, but the callbacks contain no AuthToken."
    if source.latest.token:
        return (
            "No device has this AuthToken. Register the device. The gateway then sends the callbacks again."
        )
    return "The callbacks contain no AuthToken."
