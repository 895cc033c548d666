"""Named sets of options for the exports of products, as `--preset`. docs/connector.md lists them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Preset:
    """Options for `export`, a kind of file. `options` contains values for the parameters of `connector file`."""

    export: str
    options: Mapping[str, Any]

    def __str__(self) -> str:
        """Return the options as they are typed."""
        said = []
        for name, value in self.options.items():
            if name == "has_header":
                said.append("--header" if value else "--no-header")
                continue
            option = {"layout": "--format", "mapping": "--map", "time_formats": "--time-format"}[name]
            values = [value] if isinstance(value, str) else value
            said += [f"{option} {shlex.quote(one)}" for one in values]
        return " ".join(said)


# Horilla writes dates and times as its company settings say. These of its formats have only one meaning.
_HORILLA_DATES: Final = ("%Y-%m-%d", "%Y/%m/%d", "%B %d, %Y", "%b. %d, %Y", "%d %B, %Y", "%d %b. %Y")
_HORILLA_TIMES: Final = ("%H:%M", "%H:%M:%S", "%I:%M %p")

PRESETS: Final[Mapping[str, Preset]] = {
    "zkteco-attlog": Preset(
        "`attlog.dat` that a ZKTeco or eSSL device writes to a USB drive",
        {"layout": "attlog"},
    ),
    "essl-etimetrack": Preset(
        "eSSL eTimeTrackLite: the rows of the table `DeviceLogs_MONTH_YEAR` as CSV",
        {"mapping": "user=UserId|User ID|EmployeeCode|Employee Code,time=LogDate|Log Date,type=Direction"},
    ),
    "hikvision-ivms": Preset(
        "Hikvision iVMS-4200: Original Records of Time and Attendance, as CSV",
        {
            "mapping": "user=Person ID|Employee ID,time=Time,type=Attendance Status,temperature=Temperature",
        },
    ),
    "biotime": Preset(
        "ZKTeco BioTime: the report Transaction, as CSV",
        {
            "mapping": "user=Employee ID|Personnel ID,date=Date|Punch Date,time=Time|Punch Time,type=Punch State",
        },
    ),
    "zktime": Preset(
        "ZKTeco ZKTime 5.0 and Attendance Management: attendance records, as CSV",
        {"mapping": "user=AC-No.|AC No.|No.,time=Time|Date/Time|sTime,type=State|Status"},
    ),
    "anviz": Preset(
        "Anviz CrossChex: attendance records, as CSV",
        {
            "mapping": "user=Employee ID|User ID,time=Check Time|Date/Time,type=State|Status|Check Type",
        },
    ),
    "fingertec": Preset(
        "FingerTec TCMS V2: text file for third-party software (terminal, employee, date, time)",
        {"mapping": "user=2,date=3,time=4", "has_header": False, "time_formats": ["%d-%m-%y %H:%M"]},
    ),
    "horilla": Preset(
        "Horilla HRMS: attendance activities, as CSV. A row is a check-in and a check-out.",
        {
            "mapping": "user=Badge ID,date_in=In Date|Check-in date,time_in=Check In|Check-in,"
            "date_out=Out Date|Check-out date,time_out=Check Out|Check-out",
            "time_formats": [" ".join(pair) for pair in product(_HORILLA_DATES, _HORILLA_TIMES)],
        },
    ),
}
