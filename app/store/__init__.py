"""All data in Redis or Valkey. Each kind of data has its module; `server/keys.py` has the layout."""

from __future__ import annotations

import secrets

from app.base.vault import Vault
from app.settings.table import Settings
from app.store.access.api_keys import ApiKeys
from app.store.access.audit import Audit
from app.store.access.idempotency import IdempotencyKeys
from app.store.access.sessions import Sessions
from app.store.alerts.refused import RefusedCallbacks
from app.store.alerts.refused_events import RefusedEvents
from app.store.alerts.silence import Alerts
from app.store.alerts.unknown_users import UnknownUsers
from app.store.archiving.archiver import Archiver
from app.store.archiving.past import Past
from app.store.archiving.reports import ArchiveReports
from app.store.attendance.changes import AttendanceChanges
from app.store.attendance.correction_records import CorrectionRecords
from app.store.attendance.corrections import Corrections
from app.store.attendance.index import AttendanceIndex
from app.store.attendance.view import Attendance
from app.store.commands.records import Commands
from app.store.counts import Counts
from app.store.deliveries.counts import DeliveryCounts
from app.store.deliveries.lists import DeliveryLists
from app.store.deliveries.log import DeliveryLog
from app.store.deliveries.parked import ParkedSubscriptions
from app.store.deliveries.records import Deliveries
from app.store.deliveries.replay_records import ReplayRecords
from app.store.deliveries.replays import Replays
from app.store.devices.registry import Devices
from app.store.events.reading import Events
from app.store.events.relay_events import RelayEvents
from app.store.events.unreadable import EventReader
from app.store.intake.ingest import Ingest
from app.store.people.commanded_changes import CommandedChanges
from app.store.people.employees import Employees
from app.store.people.names import People
from app.store.people.users import Users
from app.store.privacy.erasure import PersonErasure
from app.store.privacy.export import PersonExport
from app.store.privacy.traces import Traces
from app.store.server.admission import Admission, StoreRefused, find_secret_key
from app.store.server.codec import Codec
from app.store.server.connection import Connection, StoreAway, is_away
from app.store.server.embedded import private_file
from app.store.server.store_id import StoreIdentity
from app.store.subscriptions.records import Subscriptions
from app.store.subscriptions.signing_keys import SigningKeys
from app.store.upkeep.backup_reports import BackupReports
from app.store.upkeep.history import History
from app.store.upkeep.loop_reports import LoopReports
from app.store.upkeep.public_url_reports import PublicUrlReports

__all__ = ["Store", "StoreAway", "StoreRefused", "is_away", "make_vault"]


def make_vault(settings: Settings) -> Vault:
    """Create the vault with RELAY_SECRET_KEY, or with the key generated in the data folder. Raises StoreRefused."""
    key = find_secret_key(settings) or private_file(settings.data_dir / "secret_key", secrets.token_hex(32))
    return Vault(key, settings.secret_key_old)


class Store:
    """All stored data, by kind, over one connection."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.vault = make_vault(settings)
        self.connection = Connection(settings, self.vault)
        self.admission = Admission(self.connection)
        self.codec = Codec(self.vault)
        self.identity = StoreIdentity(
            self.connection, settings.data_dir / "spool" if settings.spool else None
        )
        self.devices = Devices(self.connection)
        self.users = Users(self.connection)
        self.commanded_changes = CommandedChanges(self.connection, self.users)
        self.employees = Employees(self.connection, self.devices)
        self.people = People(self.users, self.employees)
        self.counts = Counts(self.connection)
        self.ingest = Ingest(self.connection, self.devices, self.users, self.people, self.counts)
        self.event_reader = EventReader(self.connection, self.codec)
        self.past = Past(self.connection)
        self.archive_reports = ArchiveReports(self.connection)
        self.archiver = Archiver(self.connection, self.past, self.event_reader, self.archive_reports)
        self.events = Events(self.connection, self.event_reader, self.past)
        self.relay_events = RelayEvents(self.connection)
        self.alerts = Alerts(self.connection, self.devices, self.relay_events)
        self.refused = RefusedCallbacks(self.connection)
        self.refused_events = RefusedEvents(self.connection, self.refused, self.relay_events)
        self.unknown_users = UnknownUsers(
            self.connection, self.devices, self.employees, self.relay_events, self.event_reader
        )
        self.attendance_index = AttendanceIndex(
            self.connection, self.devices, self.event_reader, self.unknown_users.look
        )
        self.correction_records = CorrectionRecords(self.connection)
        self.corrections = Corrections(
            self.connection,
            self.correction_records,
            self.devices,
            self.people,
            self.attendance_index,
            self.events,
            self.relay_events,
        )
        self.attendance = Attendance(
            self.connection,
            self.devices,
            self.people,
            self.attendance_index,
            self.past,
            self.correction_records,
        )
        self.subscriptions = Subscriptions(self.connection)
        self.signing_keys = SigningKeys(self.connection)
        self.commands = Commands(self.connection)
        self.deliveries = Deliveries(self.connection, self.event_reader)
        self.delivery_counts = DeliveryCounts(self.connection)
        self.delivery_log = DeliveryLog(self.connection)
        self.delivery_lists = DeliveryLists(self.connection, self.delivery_log, self.event_reader)
        self.replay_records = ReplayRecords(self.connection)
        self.replays = Replays(self.connection, self.deliveries, self.replay_records)
        self.parked = ParkedSubscriptions(self.connection, self.deliveries)
        self.api_keys = ApiKeys(self.connection)
        self.idempotency = IdempotencyKeys(self.connection)
        traces = Traces(self.connection, self.devices, self.event_reader)
        self.person_erasure = PersonErasure(self.connection, self.devices, traces, self.past)
        self.person_export = PersonExport(
            self.connection, self.users, self.employees, self.codec, traces, self.past
        )
        self.audit = Audit(self.connection)
        self.attendance_changes = AttendanceChanges(
            self.connection, self.attendance, self.relay_events, self.subscriptions
        )
        self.sessions = Sessions(self.connection, self.api_keys)
        self.backup_reports = BackupReports(self.connection)
        self.public_url_reports = PublicUrlReports(self.connection)
        self.history = History(self.connection)
        self.loop_reports = LoopReports(self.connection)
