/**
 * Types of events and resources.
 *
 * Made by scripts/client-types from the relay's OpenAPI description; a test compares it. A newer relay can send more
 * fields, values and event types, and nothing is rejected at run time.
 */

export type Event = AttendancePunchEvent | AttendancePhotoEvent | AttendanceDayChangedEvent | UserUpdatedEvent | CredentialUpdatedEvent | UserDeletedEvent | UserUnknownEvent | DeviceTimeChangedEvent | DeviceSilentEvent | DeviceBackEvent | CommandEndedEvent | CallbackUnrecognisedEvent | SubscriptionDisabledEvent | CallbackRefusedEvent | AttendanceCorrectedEvent;

export interface EventTypeDetails {
  /** The event type. */
  type: string;
  /** What it tells. */
  summary: string;
  /** Version of the schema. Added fields don't change it. */
  schema_version: number;
  /** Whether a later version will stop publishing it. */
  deprecated: boolean;
  /** Its JSON Schema. */
  schema: Record<string, unknown>;
  /** A made-up event. */
  sample: Record<string, unknown>;
}

/** A command, without its data. */
export interface Command {
  /** The command's ID. */
  id: string;
  /** The command's ID. */
  command_id: string;
  /** The action. */
  action: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string;
  /** The user concerned, or null. */
  user_id: string | null;
  /** The OperationID sent to the gateway. */
  operation_id: string;
  /** Status of the command. */
  status: string;
  /** The gateway's StatusCode; null until it has responded. */
  status_code: number | null;
  /** Meaning of the code. */
  status_name: string | null;
  /** One sentence that explains the result. */
  message: string | null;
  /** The gateway's own message. */
  gateway_status: string | null;
  /** If the command failed, was cancelled or has an unknown outcome: the code of the action's error. */
  code: string | null;
  /** Name of the API key that sent the command. */
  requested_by: string;
  /** When the command was created. */
  created_at: string;
  /** When the command was last sent to the gateway. */
  sent_at: string | null;
  /** When the command ended. */
  ended_at: string | null;
  /** When the relay gives up on the command. */
  expires_at: string;
  /** When the relay polls the gateway again. */
  next_poll_at: string | null;
}

/** A command. Once it is completed, it includes the result of its action. */
export interface CommandWithResult {
  /** The command's ID. */
  id: string;
  /** The command's ID. */
  command_id: string;
  /** The action. */
  action: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string;
  /** The user concerned, or null. */
  user_id: string | null;
  /** The OperationID sent to the gateway. */
  operation_id: string;
  /** Status of the command. */
  status: string;
  /** The gateway's StatusCode; null until it has responded. */
  status_code: number | null;
  /** Meaning of the code. */
  status_name: string | null;
  /** One sentence that explains the result. */
  message: string | null;
  /** The gateway's own message. */
  gateway_status: string | null;
  /** If the command failed, was cancelled or has an unknown outcome: the code of the action's error. */
  code: string | null;
  /** Name of the API key that sent the command. */
  requested_by: string;
  /** When the command was created. */
  created_at: string;
  /** When the command was last sent to the gateway. */
  sent_at: string | null;
  /** When the command ended. */
  ended_at: string | null;
  /** When the relay gives up on the command. */
  expires_at: string;
  /** When the relay polls the gateway again. */
  next_poll_at: string | null;
  /** Number of punches. */
  row_count?: number;
  /** Number of rows reported by the gateway. */
  reported_row_count?: number | null;
  /** Number of new punches that were published as events. */
  published_count?: number | null;
  /** The punches. */
  logs?: Array<PunchRow>;
  /** The model. */
  device_model?: string;
  /** Manufacturer. */
  manufacturer?: string;
  /** The MAC address of the device. */
  mac_address?: string;
  /** Start of the licence, in ISO 8601 if day and month are unambiguous. */
  start_date?: string;
  /** End of the licence, in ISO 8601 if day and month are unambiguous. */
  end_date?: string;
  /** Time of the last connection. */
  last_connected_time?: string;
  /** Number of users on the device. */
  registered_users?: number;
  /** Number of faces on the device. */
  registered_faces?: number;
  /** Number of fingerprints on the device. */
  registered_fingerprints?: number;
  /** Maximum number of faces. */
  maximum_faces_supported?: number;
  /** Maximum number of fingerprints. */
  maximum_fingerprints_supported?: number;
  /** Maximum number of punches. */
  maximum_attendance_logs_supported?: number;
}

/** A registered device. Its secrets are never shown. */
export interface Device {
  /** The device's Service Tag ID (stgid). */
  id: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string;
  /** URL that the device's commands are sent to. */
  gateway_url: string | null;
  /** Its name. */
  label: string | null;
  /** The device's serial number. */
  serial_number: string | null;
  /** How the device is connected to the gateway. */
  mode: string;
  /** Time zone for times without an offset. */
  timezone: string;
  /** Direction of the device's punches: `by_type` follows the type of each punch; `in` or `out` applies to all of them. */
  direction: string;
  /** Seconds within which a person's punches count as one in the attendance view. null uses RELAY_SAME_VISIT_SECONDS. */
  same_visit_seconds: number | null;
  /** Minutes without contact during working hours after which the device counts as silent. 0 turns this off. null uses RELAY_SILENT_AFTER_MINUTES. */
  silent_after_minutes: number | null;
  /** Hours during which contact is expected. null uses RELAY_WORKING_HOURS. */
  working_hours: string | null;
  /** When the device was registered. */
  created_at: string;
  /** Whether the device is simulated. */
  simulated: boolean;
  /** Whether callbacks and commands are encrypted. */
  has_security_key: boolean;
  /** When the previous Security Key stops being accepted; null if there is none. */
  security_key_old_until: string | null;
  /** Whether the Callback URL must contain the device's secret, ?k=…. */
  require_callback_secret: boolean;
  /** Older version of the Web API whose callbacks are also accepted. */
  legacy_callbacks: string;
  /** Last four characters of the device's AuthToken. */
  auth_token_hint: string;
  /** Set this as the Callback URL in the API Monitor. It contains the callback secret only in the response that created the secret. */
  callback_url: string;
  /** When the device last sent a callback. */
  last_seen_at?: string | null;
  /** When the device was last in contact, if device.silent was published; otherwise null. */
  silent_since?: string | null;
  /** Callbacks accepted. */
  callbacks?: number;
  /** Events created from callbacks. */
  events?: number;
  /** Duplicate callbacks and punches. */
  duplicates?: number;
  /** Callbacks that could not be read completely. */
  unrecognised?: number;
  /** Punches whose time is far in the future or very old. */
  clock_suspect?: number;
  /** User changes ignored because a newer one had already arrived. */
  stale?: number;
  /** Callbacks refused in the last seven days that contained the device's AuthToken or were sent to its Callback URL, including those from before it was registered. */
  refused_callbacks: number;
  /** When the first of these callbacks was refused. */
  refused_since: string | null;
  /** A sentence that explains these refusals; null once a callback from the device has been accepted again. */
  refused_note: string | null;
}

/** A user on one device. */
export interface User {
  /** The user's ID on the device. */
  id: string;
  /** The user's ID on the device. */
  user_id: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string;
  /** The device's name. */
  device_label: string | null;
  /** Whether the device, and so the user, is simulated. */
  simulated: boolean;
  /** First name. */
  first_name: string | null;
  /** Last name. */
  last_name: string | null;
  /** user or admin. */
  user_type: string | null;
  /** Both names. */
  full_name: string | null;
  /** When the profile was last changed. */
  updated_at: string | null;
  /** Where the profile comes from: the device itself or, until it reports the user, a command that it carried out. */
  source: string;
  /** Credentials by type and index, without their data. */
  credentials: Array<UserCredential>;
}

export interface UserEverywhere {
  /** The user's ID. */
  id: string;
  /** The user's ID. */
  user_id: string;
  /** Both names. */
  full_name: string | null;
  /** The user's data on each device that reported it. */
  devices: Array<User>;
}

/** A subscription and the state of its deliveries. */
export interface Subscription {
  /** The subscription's ID. */
  id: string;
  /** URL that events are sent to. Without the scope subscriptions:write, only its scheme, host and port. */
  target_url: string;
  /** Event types, families such as user.*, or * for all. */
  event_types: Array<string>;
  filters: SubscriptionFilters;
  /** Device IDs in filters that are not registered. Nothing is sent for them until they are. Check their spelling. */
  unknown_device_ids: Array<string>;
  /** Values in filters that match nothing now. */
  warnings: Array<Warning>;
  /** Format of the delivery's body. */
  format: string;
  /** The event field or constant for each name in the body; null if the event's own fields are sent. */
  field_mapping: Record<string, unknown> | null;
  /** The text of a message, with fields in double braces; null if sentences are sent. */
  template: string | null;
  /** A description of its purpose. */
  description: string | null;
  /** Headers sent with each delivery. Their values are not shown. */
  headers: Record<string, unknown>;
  /** Maximum number of deliveries in progress at once. */
  max_in_flight: number;
  /** Maximum number of events per delivery. */
  batch_max: number;
  /** How long a batch waits for more events, in milliseconds. */
  batch_wait_ms: number;
  /** How deliveries are signed: hmac (v1, with the secret) or ed25519 (v1a, with the relay's key pair). */
  signatures: Array<string>;
  /** Whether card numbers are sent. */
  include_card_numbers: boolean;
  /** Whether the subscription receives events. `parked` means that deliveries are waiting because its stored data is damaged. */
  status: string;
  /** The damaged data in the store. */
  parked_reason: string | null;
  /** Why the subscription was disabled. */
  disabled_reason: string | null;
  /** When it was created. */
  created_at: string;
  /** ID of the API key that created it; null if that isn't known. */
  created_by: string | null;
  /** Why it may no longer be needed: the API key that created it was deleted (`api_key_deleted`), or its target answers 404 (`target_not_found`), as webhooks of deleted or inactive workflows do. Otherwise null. */
  orphan_reason: string | null;
  /** When it is deleted automatically; null if it doesn't expire. */
  expires_at: string | null;
  /** Deliveries waiting for their first attempt. */
  pending: number;
  /** Deliveries waiting for a retry. */
  retrying: number;
  /** Dead letters. They are not retried, but can be replayed. */
  dead: number;
  /** Successful deliveries. */
  delivered: number;
  /** When the target started failing; null if it is working. */
  failing_since: string | null;
}

export interface SubscriptionWithSecret {
  /** The subscription's ID. */
  id: string;
  /** URL that events are sent to. Without the scope subscriptions:write, only its scheme, host and port. */
  target_url: string;
  /** Event types, families such as user.*, or * for all. */
  event_types: Array<string>;
  filters: SubscriptionFilters;
  /** Device IDs in filters that are not registered. Nothing is sent for them until they are. Check their spelling. */
  unknown_device_ids: Array<string>;
  /** Values in filters that match nothing now. */
  warnings: Array<Warning>;
  /** Format of the delivery's body. */
  format: string;
  /** The event field or constant for each name in the body; null if the event's own fields are sent. */
  field_mapping: Record<string, unknown> | null;
  /** The text of a message, with fields in double braces; null if sentences are sent. */
  template: string | null;
  /** A description of its purpose. */
  description: string | null;
  /** Headers sent with each delivery. Their values are not shown. */
  headers: Record<string, unknown>;
  /** Maximum number of deliveries in progress at once. */
  max_in_flight: number;
  /** Maximum number of events per delivery. */
  batch_max: number;
  /** How long a batch waits for more events, in milliseconds. */
  batch_wait_ms: number;
  /** How deliveries are signed: hmac (v1, with the secret) or ed25519 (v1a, with the relay's key pair). */
  signatures: Array<string>;
  /** Whether card numbers are sent. */
  include_card_numbers: boolean;
  /** Whether the subscription receives events. `parked` means that deliveries are waiting because its stored data is damaged. */
  status: string;
  /** The damaged data in the store. */
  parked_reason: string | null;
  /** Why the subscription was disabled. */
  disabled_reason: string | null;
  /** When it was created. */
  created_at: string;
  /** ID of the API key that created it; null if that isn't known. */
  created_by: string | null;
  /** Why it may no longer be needed: the API key that created it was deleted (`api_key_deleted`), or its target answers 404 (`target_not_found`), as webhooks of deleted or inactive workflows do. Otherwise null. */
  orphan_reason: string | null;
  /** When it is deleted automatically; null if it doesn't expire. */
  expires_at: string | null;
  /** Deliveries waiting for their first attempt. */
  pending: number;
  /** Deliveries waiting for a retry. */
  retrying: number;
  /** Dead letters. They are not retried, but can be replayed. */
  dead: number;
  /** Successful deliveries. */
  delivered: number;
  /** When the target started failing; null if it is working. */
  failing_since: string | null;
  /** Secret for verifying webhook-signature (Standard Webhooks). It is not shown again. */
  secret: string;
}

export interface NewSubscription {
  /** The subscription's ID. */
  id: string;
  /** URL that events are sent to. Without the scope subscriptions:write, only its scheme, host and port. */
  target_url: string;
  /** Event types, families such as user.*, or * for all. */
  event_types: Array<string>;
  filters: SubscriptionFilters;
  /** Device IDs in filters that are not registered. Nothing is sent for them until they are. Check their spelling. */
  unknown_device_ids: Array<string>;
  /** Values in filters that match nothing now. */
  warnings: Array<Warning>;
  /** Format of the delivery's body. */
  format: string;
  /** The event field or constant for each name in the body; null if the event's own fields are sent. */
  field_mapping: Record<string, unknown> | null;
  /** The text of a message, with fields in double braces; null if sentences are sent. */
  template: string | null;
  /** A description of its purpose. */
  description: string | null;
  /** Headers sent with each delivery. Their values are not shown. */
  headers: Record<string, unknown>;
  /** Maximum number of deliveries in progress at once. */
  max_in_flight: number;
  /** Maximum number of events per delivery. */
  batch_max: number;
  /** How long a batch waits for more events, in milliseconds. */
  batch_wait_ms: number;
  /** How deliveries are signed: hmac (v1, with the secret) or ed25519 (v1a, with the relay's key pair). */
  signatures: Array<string>;
  /** Whether card numbers are sent. */
  include_card_numbers: boolean;
  /** Whether the subscription receives events. `parked` means that deliveries are waiting because its stored data is damaged. */
  status: string;
  /** The damaged data in the store. */
  parked_reason: string | null;
  /** Why the subscription was disabled. */
  disabled_reason: string | null;
  /** When it was created. */
  created_at: string;
  /** ID of the API key that created it; null if that isn't known. */
  created_by: string | null;
  /** Why it may no longer be needed: the API key that created it was deleted (`api_key_deleted`), or its target answers 404 (`target_not_found`), as webhooks of deleted or inactive workflows do. Otherwise null. */
  orphan_reason: string | null;
  /** When it is deleted automatically; null if it doesn't expire. */
  expires_at: string | null;
  /** Deliveries waiting for their first attempt. */
  pending: number;
  /** Deliveries waiting for a retry. */
  retrying: number;
  /** Dead letters. They are not retried, but can be replayed. */
  dead: number;
  /** Successful deliveries. */
  delivered: number;
  /** When the target started failing; null if it is working. */
  failing_since: string | null;
  /** Secret for verifying webhook-signature (Standard Webhooks). It is not shown again, and is null if the subscription already existed. */
  secret: string | null;
  /** Value of the header that token_header names; null without token_header. It is not shown again. */
  token: string | null;
}

export interface Delivery {
  /** The delivery's ID. */
  id: string;
  /** The subscription. */
  subscription_id: string;
  /** The event, which is also the webhook-id; null for a batch. */
  event_id: string | null;
  /** The batch (bat_…), which is also the webhook-id. */
  batch_id: string | null;
  /** The events; empty for a batch that ended. */
  event_ids: Array<string>;
  /** Number of events in the delivery. */
  event_count: number;
  /** The event's type; null for a batch, or if the event has been removed. */
  event_type: string | null;
  /** Why the latest attempt was made, or why a pending delivery will be attempted. */
  trigger: string;
  /** Status of the delivery. */
  status: string;
  /** When the event was received or, for a test event that is sent later, when it will be sent. */
  created_at: string;
  /** Number of attempts. */
  attempt_count: number;
  /** HTTP status of the latest attempt. */
  response_status: number | null;
  /** Duration of the latest attempt, in milliseconds. */
  duration_ms: number | null;
  /** Error of the latest attempt. */
  error: string | null;
  /** When the latest attempt was made. */
  last_attempt_at: string | null;
  /** When the next attempt will be made. */
  next_attempt_at: string | null;
  /** The attempts, oldest first. */
  attempts: Array<DeliveryAttempt>;
}

/** An error (RFC 9457). */
export interface Problem {
  /** URL of the page that explains the code. */
  type: string;
  /** The kind of error, for programs. It doesn't change. */
  code: string;
  /** The HTTP status in words. */
  title: string;
  /** The HTTP status. */
  status: number;
  /** What is wrong and what to do about it. */
  detail: string;
  /** The request's ID, which is also in the relay's log. */
  request_id?: string;
  /** One entry for each invalid field, parameter or header. Omitted if there are none. */
  errors?: Array<FieldError>;
}

/** An error (RFC 9457), with the gateway's response if there was one. */
export interface ActionProblem {
  /** URL of the page that explains the code. */
  type: string;
  /** The kind of error, for programs: the name of the gateway's StatusCode if it has one. */
  code: string;
  /** The HTTP status in words. */
  title: string;
  /** The HTTP status. */
  status: number;
  /** What went wrong and what to do about it. */
  detail: string;
  /** The request's ID, which is also in the relay's log. */
  request_id?: string;
  /** One entry for each invalid field, parameter or header. Omitted if there are none. */
  errors?: Array<FieldError>;
  /** The command's ID; null if no command was created. */
  command_id?: string | null;
  /** The action. */
  action?: string;
  /** The device's Service Tag ID. */
  device_id?: string;
  /** The user concerned. */
  user_id?: string | null;
  /** The OperationID sent to the gateway. */
  operation_id?: string | null;
  /** Final status of the command: failed, unknown or cancelled. */
  command_status?: string;
  /** The gateway's StatusCode. */
  status_code?: number | null;
  /** Meaning of the code. */
  status_name?: string | null;
  /** The gateway's own message. */
  gateway_status?: string | null;
}

export interface AttendancePunchEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'attendance.punch';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The punch's ID, the same for the same device, user and time. */
  punch_id: string;
  /** The punch's version: 1, and 2, 3… each time the punch is sent again with different values. */
  revision: number;
  /** The user's ID on the device. */
  user_id: string;
  /** The user's name, if known. */
  user_name: string | null;
  /** The employee ID, if the user is in the list of employees. */
  employee_id: string | null;
  /** check_in, check_out, break_out, break_in, overtime_in, overtime_out, meal_in or meal_out. */
  punch_type: string | null;
  /** in or out. */
  direction: string | null;
  /** fingerprint, face, palm, card, password and others. */
  input_type: string | null;
  /** Body temperature, if measured. */
  temperature_celsius: number | null;
  /** Whether a face mask was worn. */
  face_mask: boolean | null;
  /** The date of the event, by the device's clock. */
  local_date: string;
  /** The time of day of the event, by the device's clock. */
  local_time: string;
  /** Seconds between the punch and its receipt. */
  delay_seconds: number;
  /** True if the relay received the punch more than 300 s after it was made. It doesn't say whether the person was late. */
  is_late_arrival: boolean;
  /** True if the time of the punch is more than 2 h in the future or older than the retention period. */
  clock_suspect: boolean;
}

export interface AttendancePhotoEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'attendance.photo';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The user's ID on the device. */
  user_id: string | null;
  /** The employee ID, if the user is in the list of employees. */
  employee_id: string | null;
  /** Link to the photo. It is valid for seven days and requires no API key. */
  photo_url: string;
  /** The photo's media type. */
  photo_mime: string;
  /** Size of the photo in bytes. */
  photo_size_bytes: number;
}

export interface AttendanceDayChangedEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'attendance.day_changed';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The day, in the site's time zone and according to RELAY_DAY_STARTS. */
  date: string;
  /** The person's user ID on the devices. */
  user_id: string;
  /** The person's name, if known. */
  user_name: string | null;
  /** The employee ID, if the person is in the list of employees. */
  employee_id: string | null;
  /** The site's time zone, or its UTC offset if the device has no time zone set. */
  timezone: string;
  /** The first punch of the day (ISO 8601). */
  first_in: string | null;
  /** The device of that punch. */
  first_in_device_id: string | null;
  /** The last punch of the day (ISO 8601). */
  last_out: string | null;
  /** The device of that punch. */
  last_out_device_id: string | null;
  /** Seconds from first in to last out; null if either is missing. */
  worked_seconds: number | null;
  /** The same duration in hours. */
  worked_hours: number | null;
  /** Seconds from each in to the next out, added up; null if ins and outs don't alternate. */
  present_seconds: number | null;
  /** The same duration in hours. */
  present_hours: number | null;
  /** Number of punches on the day. */
  punch_count: number;
  /** True if the day is over and the first in or last out is missing, or a shift is longer than RELAY_LONGEST_SHIFT_HOURS. */
  missing_punch: boolean;
  /** Whether the person was late: the first in is after RELAY_LATE_AFTER. It is null if that is not set. */
  is_late: boolean | null;
  /** How late the person was, in seconds; 0 if on time. */
  late_seconds: number | null;
  /** Whether the day is over in the site's time zone. */
  day_over: boolean;
  /** Number of punches of the day that were added, changed or excluded by corrections. */
  correction_count: number;
  /** The version of this day: 1, and 2, 3… each time it is published again. */
  revision: number;
}

export interface UserUpdatedEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'user.updated';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The user's ID on the device. */
  user_id: string;
  /** First name. */
  first_name: string | null;
  /** Last name. */
  last_name: string | null;
  /** Both names. */
  full_name: string | null;
  /** user or admin. */
  user_type: string | null;
  /** Types of the credentials sent with the change, comma-separated. */
  credentials_changed: string;
}

export interface CredentialUpdatedEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'credential.updated';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The user's ID on the device. */
  user_id: string;
  /** card, password, fingerprint, face, palm or user_photo. */
  credential_type: string;
  /** The credential's index. For a fingerprint, it is the finger's number, from 0 to 9. */
  credential_index: number;
  /** Size of the data in bytes. */
  credential_size_bytes: number | null;
  /** Keyed digest of the data. If the digest has changed, the data has changed. */
  credential_digest: string;
  /** The last four characters of the card number. */
  card_last4: string | null;
  /** The card number; null unless the subscription was created with include_card_numbers. */
  card_number: string | null;
  /** True if the relay had no credential with this type and index. */
  is_new: boolean;
}

export interface UserDeletedEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'user.deleted';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The user's ID on the device. */
  user_id: string;
}

export interface UserUnknownEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'user.unknown';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The user ID of the punch. */
  user_id: string;
  /** The ID of the punch event. */
  punch_event_id: string;
}

export interface DeviceTimeChangedEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'device.time_changed';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The new time. */
  changed_to: string;
  /** The same time in UTC. */
  changed_to_utc: string;
  /** How far the clock was moved forward, in seconds. Negative if it was moved back. */
  shift_seconds: number | null;
}

export interface DeviceSilentEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'device.silent';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** When the device was last in contact (UTC). */
  last_seen_at: string;
  /** Number of minutes after which the device counts as silent. */
  silent_after_minutes: number;
  /** Hours during which contact is expected. */
  working_hours: string;
}

export interface DeviceBackEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'device.back';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** When the device was in contact again (UTC). */
  last_seen_at: string;
  /** When the device was last in contact before its silence (UTC). */
  silent_since: string;
  /** Seconds without contact. */
  silent_seconds: number;
}

export interface CommandEndedEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'command.completed' | 'command.failed' | 'command.unknown' | 'command.cancelled';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The command's ID. */
  command_id: string;
  /** The action. */
  action: string;
  /** The user concerned. */
  user_id: string | null;
  /** How it ended: completed, failed, unknown or cancelled. */
  status: string;
  /** The gateway's StatusCode. */
  status_code: number | null;
  /** Meaning of the code. */
  status_name: string | null;
  /** What happened, and what to do about it. */
  message: string | null;
}

export interface CallbackUnrecognisedEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'callback.unrecognised';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** Link to the body, valid for seven days. Secrets are removed, unless you send a key that has templates:read. */
  body_url: string;
  /** The part of the body that was not understood. */
  reason: string;
}

export interface SubscriptionDisabledEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'subscription.disabled';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The subscription's ID. */
  subscription_id: string;
  /** Scheme, host and port of the target. The rest of a webhook's URL may be a secret. */
  target_url: string;
  /** Why the subscription was disabled or removed. */
  reason: string;
}

export interface CallbackRefusedEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'callback.refused';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The IP address that sent the callbacks. */
  address: string;
  /** The device ID in the Callback URL. It has not been verified. */
  claimed_device_id: string | null;
  /** Last four characters of the AuthToken, if there is one. */
  auth_token_hint: string | null;
  /** The HTTP status that the gateway received. */
  http_status: number;
  /** unauthorised, malformed, undecryptable, too_large, over_quota or unavailable. */
  reason: string;
  /** What is wrong. */
  message: string;
  /** Number of refused callbacks from this source. */
  count: number;
  /** Size of the latest refused callback, in bytes. */
  size_bytes: number;
  /** When the first callback was refused (UTC). */
  first_refused_at: string;
  /** When the latest callback was refused (UTC). */
  last_refused_at: string;
}

export interface AttendanceCorrectedEvent {
  /** The event's ID, the same on every delivery. IDs sort by time of receipt. */
  id: string;
  /** What happened. */
  type: 'attendance.corrected';
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** When the relay received the event (UTC). */
  received_at: string;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The gateway's name for the operation. */
  operation: string | null;
  /** The gateway's ID for this operation. */
  operation_id: string | null;
  /** True for samples and test events. */
  test: boolean;
  /** The correction's ID. */
  correction_id: string;
  /** added, changed, excluded or restored. */
  kind: string;
  /** The person's user ID on the devices. */
  user_id: string;
  /** The person's name, if known. */
  user_name: string | null;
  /** The employee ID, if the person is in the list of employees. */
  employee_id: string | null;
  /** The punch, as in attendance.punch. An added punch has its own ID. */
  punch_id: string;
  /** When the punch counts from now on (ISO 8601); null if it doesn't count. */
  punched_at: string | null;
  /** in, out or null, as it counts from now on. */
  direction: string | null;
  /** When the punch was made according to its device; null for an added punch. */
  reported_at: string | null;
  /** The direction according to the device. */
  reported_direction: string | null;
  /** Why it was corrected. */
  reason: string;
  /** Who corrected it. */
  author: string;
}

export interface PunchRow {
  /** When the event happened, with the device's own offset (ISO 8601). */
  occurred_at: string | null;
  /** The same instant in UTC. */
  occurred_at_utc: string | null;
  /** The device's Service Tag ID (stgid). */
  device_id: string | null;
  /** The device's name. */
  device_label: string | null;
  /** The device's serial number. */
  device_serial: string | null;
  /** The punch's ID, the same for the same device, user and time. */
  punch_id: string;
  /** The user's ID on the device. */
  user_id: string;
  /** The user's name, if known. */
  user_name: string | null;
  /** The employee ID, if the user is in the list of employees. */
  employee_id: string | null;
  /** check_in, check_out, break_out, break_in, overtime_in, overtime_out, meal_in or meal_out. */
  punch_type: string | null;
  /** in or out. */
  direction: string | null;
  /** fingerprint, face, palm, card, password and others. */
  input_type: string | null;
  /** Body temperature, if measured. */
  temperature_celsius: number | null;
  /** Whether a face mask was worn. */
  face_mask: boolean | null;
  /** The date of the event, by the device's clock. */
  local_date: string;
  /** The time of day of the event, by the device's clock. */
  local_time: string;
  /** Seconds between the punch and its receipt. */
  delay_seconds: number;
  /** True if the relay received the punch more than 300 s after it was made. It doesn't say whether the person was late. */
  is_late_arrival: boolean;
  /** True if the time of the punch is more than 2 h in the future or older than the retention period. */
  clock_suspect: boolean;
}

export interface UserCredential {
  /** card, password, fingerprint, face, palm or user_photo. */
  credential_type: string;
  /** The credential's index, for example the finger. It is 0 if the type has no index. */
  credential_index: number;
  /** Size of the data in bytes. */
  credential_size_bytes: number | null;
  /** Keyed digest of the data. If the digest has changed, the data has changed. */
  credential_digest: string;
  /** When the credential was last changed. */
  updated_at: string | null;
}

export interface SubscriptionFilters {
  /** Only these devices, or all devices if the list is empty. */
  device_ids: Array<string>;
  /** Only these users, or all users if the list is empty. */
  user_ids: Array<string>;
  /** Only these punch types, or all types if the list is empty. */
  punch_types: Array<string>;
  /** Only the results of these commands, or of all commands if the list is empty. */
  command_ids: Array<string>;
}

/** A value that is accepted, but matches nothing now. */
export interface Warning {
  /** The kind of warning, for programs. */
  code: string;
  /** JSON Pointer to a field of the resource. */
  pointer?: string;
  /** Name of a query parameter. */
  parameter?: string;
  /** What the value is, and what to do about it. */
  message: string;
}

export interface DeliveryAttempt {
  /** When the attempt was made. */
  at: string;
  /** The target's HTTP status; null if there was no response. */
  response_status: number | null;
  /** Duration in milliseconds. */
  duration_ms: number | null;
  /** What went wrong. */
  error: string | null;
  /** The first 2 KiB of the response to the latest failed attempt. Null if there was no body, if it is no longer stored, or if your key may not read it. */
  response_body: string | null;
}

export interface FieldError {
  /** JSON Pointer to a field in the body. */
  pointer?: string;
  /** Name of a query parameter. */
  parameter?: string;
  /** Name of a header. */
  header?: string;
  /** What is wrong with the value. */
  message: string;
}
