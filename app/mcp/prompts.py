"""Prompts for common tasks. Clients show them as commands or menu entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mcp.types import Prompt as Listed
from mcp.types import PromptArgument


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt. `arguments` maps names to a description and whether it is required. `write` returns the text."""

    name: str
    title: str
    description: str
    arguments: dict[str, tuple[str, bool]]
    write: Callable[[dict[str, str]], str]

    def listed(self) -> Listed:
        """Return the prompt's entry in `prompts/list`."""
        return Listed(
            name=self.name,
            title=self.title,
            description=self.description,
            arguments=[
                PromptArgument(name=name, description=description, required=required)
                for name, (description, required) in self.arguments.items()
            ],
        )


def _report(arguments: dict[str, str]) -> str:
    device = arguments.get("device_id")
    where = f" Use only data from the device {device!r}." if device else ""
    return (
        f"Write today's attendance report.{where} Use who_is_in to see who is in and who has left, attendance_of_day "
        "to see who was late, and list_devices to see whether a machine has not been in contact, because punches may "
        "then be missing. Begin with the counts. Continue with a table of the people and the time of their latest "
        "punch. Then list what needs attention: people who were late or whose latest punch is unusual, and machines "
        "that are silent. If figures may be incomplete, say so. Don't guess reasons."
    )


def _enrol(arguments: dict[str, str]) -> str:
    person = " ".join(arguments[name] for name in ("first_name", "last_name") if arguments.get(name))
    return (
        f"Enrol a new employee: ID {arguments['user_id']!r}, name {person!r}, on the device "
        f"{arguments['device_id']!r}.\n"
        "1. Use find_person to check whether the ID is taken. If it is, stop and say who has it.\n"
        "2. Add the person with add_user. If it says that the device has not responded yet, call get_command.\n"
        "3. Ask me whether the person is at the machine. Once I confirm, start enroll_fingerprint. The machine then "
        "asks for the finger.\n"
        "4. Report what was done. Never ask me for a fingerprint, a photo, a card number or a PIN: cards and PINs are "
        "set at the machine or through the relay's API."
    )


PROMPTS: dict[str, Prompt] = {
    prompt.name: prompt
    for prompt in (
        Prompt(
            name="daily_attendance_report",
            title="Daily attendance report",
            description="Reports who is in, who has left, and which machines are silent.",
            arguments={"device_id": ("Only this device. By default, all devices.", False)},
            write=_report,
        ),
        Prompt(
            name="enrol_new_employee",
            title="Enrol a new employee",
            description="Adds a person to a machine and starts the enrolment of a fingerprint.",
            arguments={
                "device_id": ("The machine's Service Tag ID.", True),
                "user_id": ("The new ID.", True),
                "first_name": ("First name.", True),
                "last_name": ("Last name.", False),
            },
            write=_enrol,
        ),
    )
}
