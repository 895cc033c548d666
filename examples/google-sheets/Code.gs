/**
 * Appends cams-relay's events to this spreadsheet, a row each. Deployed as a web app, it is a subscription's target.
 *
 * An Apps Script sees no headers, so it can't verify the signature: the URL carries a key instead, kept in the script
 * property KEY. Nor can it choose a status: HtmlService answers 200, which the relay takes as delivered, and
 * ContentService answers with a redirect, which the relay takes as a failure and tries again.
 */
const SHEET = 'Events';
const COLUMNS = [
  'id', 'type', 'local_date', 'local_time', 'occurred_at', 'device_id', 'device_label', 'user_id', 'user_name',
  'punch_type', 'input_type',
];
const LATEST = 2000; // rows among which an event that comes again is looked for

function doPost(e) {
  try {
    if (!isOurs(e.parameter.key)) return ContentService.createTextOutput('wrong key');
    const body = JSON.parse(e.postData.contents);
    append(Array.isArray(body) ? body : [body]); // an array where the subscription has a batch_max
    return HtmlService.createHtmlOutput('ok');
  } catch (error) {
    console.error(error); // uncaught, it would be answered with 200
    return ContentService.createTextOutput('failed');
  }
}

/** Digests are compared, so that the time it takes says nothing of the key. */
function isOurs(given) {
  const key = PropertiesService.getScriptProperties().getProperty('KEY');
  const digest = (text) => String(Utilities.computeDigest(Utilities.DigestAlgorithm.SHA_256, text));
  return Boolean(key && given) && digest(given) === digest(key);
}

function append(events) {
  const lock = LockService.getScriptLock();
  lock.waitLock(10000); // less than the relay waits for an answer
  try {
    const spreadsheet = SpreadsheetApp.getActiveSpreadsheet();
    const sheet = spreadsheet.getSheetByName(SHEET) || spreadsheet.insertSheet(SHEET);
    if (sheet.getLastRow() === 0) sheet.appendRow(COLUMNS);
    const known = latestIds(sheet);
    const rows = events.filter((event) => !known.has(event.id)).map((event) => COLUMNS.map((name) => cell(name, event)));
    if (rows.length === 0) return;
    const first = sheet.getLastRow() + 1;
    const lacking = first + rows.length - 1 - sheet.getMaxRows();
    if (lacking > 0) sheet.insertRowsAfter(sheet.getMaxRows(), lacking);
    sheet.getRange(first, 1, rows.length, COLUMNS.length).setValues(rows);
    SpreadsheetApp.flush(); // before another execution looks
  } finally {
    lock.releaseLock();
  }
}

function latestIds(sheet) {
  const last = sheet.getLastRow();
  if (last < 2) return new Set();
  const first = Math.max(2, last - LATEST + 1);
  return new Set(sheet.getRange(first, 1, last - first + 1, 1).getValues().map(([id]) => id));
}

/** A text stays one by its apostrophe: user 007 would become 7, and a name that begins with = a formula. */
function cell(name, event) {
  const value = event[name] ?? '';
  return typeof value !== 'string' || value === '' || name.startsWith('local_') ? value : `'${value}`;
}
