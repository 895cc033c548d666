/**
 * Appends a row to this spreadsheet for each event from cams-relay. Deploy it as a web app, and use its URL as the
 * target of a subscription.
 *
 * Apps Script can't read request headers, so it can't verify the signature. Instead, the URL contains a key, which is
 * stored in the script property KEY. Apps Script can't set the status either. HtmlService responds with 200, so the
 * relay counts the event as delivered. ContentService responds with a redirect, so the relay retries the delivery.
 */
const SHEET = 'Events';
const COLUMNS = [
  'id', 'type', 'local_date', 'local_time', 'occurred_at', 'device_id', 'device_label', 'user_id', 'user_name',
  'punch_type', 'input_type',
];
const LATEST = 2000; // number of rows that are searched for a repeated event

function doPost(e) {
  try {
    if (!isOurs(e.parameter.key)) return ContentService.createTextOutput('wrong key');
    const body = JSON.parse(e.postData.contents);
    append(Array.isArray(body) ? body : [body]); // an array if the subscription has batch_max
    return HtmlService.createHtmlOutput('ok');
  } catch (error) {
    console.error(error); // if this weren't caught, the response would be 200
    return ContentService.createTextOutput('failed');
  }
}

/** Compares digests, so that the time that this takes reveals nothing about the key. */
function isOurs(given) {
  const key = PropertiesService.getScriptProperties().getProperty('KEY');
  const digest = (text) => String(Utilities.computeDigest(Utilities.DigestAlgorithm.SHA_256, text));
  return Boolean(key && given) && digest(given) === digest(key);
}

function append(events) {
  const lock = LockService.getScriptLock();
  lock.waitLock(10000); // less than the relay's timeout
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
    SpreadsheetApp.flush(); // before another execution reads the sheet
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

/** Prefixes text with an apostrophe. Otherwise, user 007 would become 7, and a name that begins with = a formula. */
function cell(name, event) {
  const value = event[name] ?? '';
  return typeof value !== 'string' || value === '' || name.startsWith('local_') ? value : `'${value}`;
}
