"""The schemas of the punches of a day and of corrections."""

from __future__ import annotations

from app.openapi.vocabulary import AT, Json, one, text, words

_DEVICE_ID = text("The device's Service Tag ID (stgid).", "ZHM1100001")
_PUNCH_VALUES = {
    "punched_at": text(
        "When the punch counts, with the site's offset; null if it doesn't count.",
        "2026-11-24T18:00:00+05:30",
        null=True,
    ),
    "direction": text("in, out or null, as it counts.", "out", null=True),
    "reported_at": text(
        "When the punch was made according to its device; null for an added punch.",
        "2026-11-24T18:10:02+05:30",
        null=True,
    ),
    "reported_direction": text("The direction according to the device.", "out", null=True),
}
PUNCH = one(
    {
        "id": text("The punch's ID.", "pun_5f0c1b2a3d4e"),
        "punch_id": text("The same ID, as in attendance.punch.", "pun_5f0c1b2a3d4e"),
        "device_id": _DEVICE_ID,
        **_PUNCH_VALUES,
        "status": words("Whether it counts as reported.", "changed", "reported", "added", "excluded"),
        "correction_id": text(
            "The latest correction of the punch.", "cor_0k2f7m3q9s1v5x8z4b6d0g2j", null=True
        ),
        "reason": text("Why it was corrected.", "The clock of the device was fast.", null=True),
        "author": text("Who corrected it.", "Meera Iyer", null=True),
    },
    description="A punch of a person's day.",
)
CORRECTION = one(
    {
        "id": text("The correction's ID.", "cor_0k2f7m3q9s1v5x8z4b6d0g2j"),
        "created_at": text("When it was made (UTC).", AT),
        "device_id": _DEVICE_ID,
        "kind": words("What was done to the punch.", "changed", "added", "excluded", "restored"),
        "user_id": text("The person's user ID on the devices.", "2"),
        "punch_id": text("The punch that was corrected or added.", "pun_5f0c1b2a3d4e"),
        **_PUNCH_VALUES,
        "reason": text("Why it was corrected.", "The clock of the device was fast."),
        "author": text("Who corrected it.", "Meera Iyer"),
    },
    description="A correction of a punch. What the device reported stays stored.",
)

COMPONENTS: dict[str, Json] = {"Punch": PUNCH, "Correction": CORRECTION}
