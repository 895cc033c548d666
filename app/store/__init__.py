"""All that is kept in Redis or Valkey: one module a thing, the layout in `keys`."""

from __future__ import annotations

import secrets

from app.settings import Settings
from app.store.alerts import Alerts
from app.store.api_keys import ApiKeys
from app.store.attendance import Attendance
from app.store.attendance_changes import AttendanceChanges
from app.store.attendance_index import AttendanceIndex
from app.store.audit import Audit
from app.store.codec import Codec
from app.store.commands import Commands
from app.store.connection import Connection, StoreAway, is_away
from app.store.deliveries import Deliveries
from app.store.devices import Devices
from app.store.embedded import private_file
from app.store.employees import Employees
from app.store.events import Events
from app.store.history import History
from app.store.ingest import Ingest
from app.store.people import People
from app.store.person import Persons
from app.store.relay_events import RelayEvents
from app.store.sessions import Sessions
from app.store.subscriptions import Subscriptions
from app.store.unknown_users import UnknownUsers
from app.store.users import Users
from app.vault import Vault

__all__ = ["Store", "StoreAway", "is_away", "make_vault"]


def make_vault(settings: Settings) -> Vault:
    """The vault under RELAY_SECRET_KEY, or under a key made once in the data folder."""
    key = settings.secret_key or private_file(settings.data_dir / "secret_key", secrets.token_hex(32))
    return Vault(key, settings.secret_key_old)


class Store:
    """What is kept, thing by thing, over one connection."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.vault = make_vault(settings)
        self.connection = Connection(settings, self.vault)
        self.codec = Codec(self.vault)
        self.devices = Devices(self.connection)
        self.users = Users(self.connection)
        self.employees = Employees(self.connection, self.devices)
        self.people = People(self.users, self.employees)
        self.ingest = Ingest(self.connection, self.devices, self.users, self.people)
        self.events = Events(self.connection, self.codec)
        self.relay_events = RelayEvents(self.connection)
        self.alerts = Alerts(self.connection, self.devices, self.relay_events)
        self.unknown_users = UnknownUsers(self.connection, self.devices, self.employees, self.relay_events)
        self.attendance_index = AttendanceIndex(self.connection, self.devices, self.unknown_users.look)
        self.attendance = Attendance(self.connection, self.devices, self.people, self.attendance_index)
        self.subscriptions = Subscriptions(self.connection)
        self.commands = Commands(self.connection)
        self.deliveries = Deliveries(self.connection)
        self.api_keys = ApiKeys(self.connection)
        self.persons = Persons(self.connection, self.devices, self.users, self.employees, self.codec)
        self.audit = Audit(self.connection)
        self.attendance_changes = AttendanceChanges(
            self.connection, self.attendance, self.relay_events, self.subscriptions
        )
        self.sessions = Sessions(self.connection, self.api_keys)
        self.history = History(self.connection)
