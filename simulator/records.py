"""A device's data: users, their templates, and log rows, with the gateway's words for them."""

import base64
import os
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from simulator.jpeg import make_jpeg

# How each credential travels: does the callback's item carry an Index and a Size, and does the user's
# profile come with it? (The documented callbacks #6 to #8 have a UserID in their Template item only.)
INDEXED = frozenset({"Fingerprint", "Face", "Palm"})
SIZED = frozenset({"Fingerprint", "Face"})
TEMPLATE_TYPES = ("Card", "Password", "Fingerprint", "Face", "Palm", "UserPhoto")

PUNCH_TYPES = {
    "check_in": "CheckIn",
    "check_out": "CheckOut",
    "break_out": "BreakOut",
    "break_in": "BreakIn",
    "overtime_in": "OverTimeIn",
    "overtime_out": "OverTimeOut",
    "meal_in": "MealIn",
    "meal_out": "MealOut",
}


@dataclass(frozen=True)
class Template:
    """One credential. `index` is 0 if the type has none; biometric `data` is Base64."""

    type: str
    data: str
    index: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """The key that identifies a user's template."""
        return self.type, self.index

    def wire(self, user_id: str) -> dict[str, object]:
        """The item of a `Template` array, with exactly the keys that the documented samples have."""
        item: dict[str, object] = {"Type": self.type, "UserID": user_id}
        if self.type in SIZED:
            item["Size"] = str(len(base64.b64decode(self.data)))
        if self.type in INDEXED:
            item["Index"] = str(self.index)
        return item | {"Data": self.data}


@dataclass
class User:
    user_id: str
    first_name: str = ""
    last_name: str = ""
    user_type: str = "User"
    enabled: bool = True
    access_start: datetime | None = None
    access_end: datetime | None = None
    templates: dict[tuple[str, int], Template] = field(default_factory=dict)

    def admitted_at(self, moment: datetime) -> bool:
        """Return whether the device admits this user at a time of its own clock."""
        early = self.access_start is not None and moment < self.access_start
        late = self.access_end is not None and moment > self.access_end
        return self.enabled and not early and not late


@dataclass(frozen=True)
class LogRow:
    """One punch. A device without a thermometer or a camera leaves the last two out."""

    user_id: str
    at: datetime
    type: str
    input_type: str
    temperature: float | None = None
    face_mask: bool | None = None


def punch_type(name: str) -> str:
    """`check_in` as `CheckIn`. A value of the gateway's own spelling, known or not, stays as it is."""
    return PUNCH_TYPES.get(name) or camel(name)


def template_type(name: str) -> str:
    """`user_photo`, `UserPhoto` or `fingerprint` as the gateway's word. ValueError for an unknown type."""
    wanted = name.replace("_", "").lower()
    for known in TEMPLATE_TYPES:
        if known.lower() == wanted:
            return known
    raise ValueError(f"there is no credential type {name!r}; use one of {', '.join(TEMPLATE_TYPES)}")


def camel(name: str) -> str:
    """`finger_vein` as `FingerVein`; a name that has capitals already stays as it is."""
    return name if name != name.lower() else "".join(part.capitalize() for part in name.split("_"))


def sample_data(kind: str) -> str:
    """Made-up data for a credential: digits for cards and PINs, else Base64 of what looks like a template."""
    if kind in ("Card", "Password"):
        return (
            str(1000 + secrets.randbelow(9000))
            if kind == "Password"
            else str(10**6 + secrets.randbelow(9 * 10**6))
        )
    if kind in ("Face", "UserPhoto"):
        return base64.b64encode(make_jpeg(os.urandom(8).hex(), 4096)).decode()
    header = b"MoSS21" if kind == "Fingerprint" else b"PALM"
    return base64.b64encode(header + os.urandom(1176 - len(header))).decode()
