// Serves Code.gs as Google serves a web app, with stand-ins that follow the documentation of Google's services.
//
//   node web_app.mjs PORT CODE KEY ROWS
//
// POST /exec    doPost(e); HtmlService's output is a 200, ContentService's a redirect, an error also a 200
// GET /rows     the rows of the sheet Events: texts and numbers as they are, a formula as {"formula": …}
// PUT /busy, DELETE /busy   another execution holds the script's lock, or releases it
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import vm from 'node:vm';

const [port, code, key, initialRows] = process.argv.slice(2);
let busy = false;
let calls = 0; // to setValues

/** Returns the content of a cell after a script has set a value. */
function entered(value) {
  if (typeof value !== 'string') return value;
  if (value.startsWith("'")) return value.slice(1);
  if (value.startsWith('=')) return { formula: value };
  return value !== '' && !Number.isNaN(Number(value)) ? Number(value) : value;
}

class Range {
  constructor(sheet, row, column, rows, columns) {
    if (row < 1 || column < 1 || rows < 1 || columns < 1 || row + rows - 1 > sheet.maxRows || column + columns - 1 > 26) {
      throw new Error('The coordinates of the range are outside the dimensions of the sheet.');
    }
    Object.assign(this, { sheet, row, column, rows, columns });
  }

  getValues() {
    return Array.from({ length: this.rows }, (_, i) =>
      Array.from({ length: this.columns }, (_, j) => this.sheet.cells[this.row - 1 + i]?.[this.column - 1 + j] ?? ''));
  }

  setValues(values) {
    if (values.length !== this.rows || values.some((row) => row.length !== this.columns)) {
      throw new Error('The number of rows or columns in the data does not match those in the range.');
    }
    calls += 1;
    values.forEach((row, i) => { this.sheet.cells[this.row - 1 + i] = row.map(entered); });
    return this;
  }
}

class Sheet {
  cells = [];
  maxRows = Number(initialRows);

  getLastRow() { return this.cells.length; }
  getMaxRows() { return this.maxRows; }
  getRange(row, column, rows, columns) { return new Range(this, row, column, rows, columns); }

  appendRow(values) {
    this.cells.push(values.map(entered));
    this.maxRows = Math.max(this.maxRows, this.cells.length);
    return this;
  }

  insertRowsAfter(after, count) {
    if (after !== this.maxRows) throw new Error('only rows at the end are modelled');
    this.maxRows += count;
    return this;
  }
}

const sheets = {};
let held = false;
const lock = {
  waitLock() {
    if (busy) throw new Error('Lock timeout: another process was holding the lock for too long.');
    held = true;
  },
  releaseLock() { held = false; },
};
class Output {
  constructor(kind, content) { Object.assign(this, { kind, content }); }
}
const services = {
  console,
  ContentService: { createTextOutput: (content) => new Output('content', content) },
  HtmlService: { createHtmlOutput: (content) => new Output('html', content) },
  LockService: { getScriptLock: () => lock },
  PropertiesService: { getScriptProperties: () => ({ getProperty: (name) => (name === 'KEY' && key ? key : null) }) },
  SpreadsheetApp: {
    flush() {},
    getActiveSpreadsheet: () => ({
      getSheetByName: (name) => sheets[name] ?? null,
      insertSheet: (name) => (sheets[name] = new Sheet()),
    }),
  },
  Utilities: {
    DigestAlgorithm: { SHA_256: 'sha256' },
    // Signed bytes, as in Java.
    computeDigest: (algorithm, value) => [...new Int8Array(createHash(algorithm).update(value).digest())],
  },
};
const script = vm.createContext(services);
vm.runInContext(readFileSync(code, 'utf8'), script, { filename: code });

function post(url, contents, type) {
  const parameter = Object.fromEntries(url.searchParams);
  const event = {
    queryString: url.search.slice(1), parameter, contextPath: '', contentLength: contents.length,
    postData: { length: contents.length, type, contents, name: 'postData' },
  };
  try {
    const output = script.doPost(event);
    if (output.kind === 'html') return [200, { 'content-type': 'text/html' }, output.content];
    return [302, { location: 'https://script.googleusercontent.com/macros/echo' }, 'Moved Temporarily'];
  } catch (error) {
    return [200, { 'content-type': 'text/html' }, String(error)];
  } finally {
    if (held) console.error('the lock was not released');
  }
}

createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const routes = {
    'POST /exec': async () => post(url, await text(request), request.headers['content-type']),
    'GET /rows': () => [200, {}, JSON.stringify({ rows: sheets.Events?.cells ?? [], calls })],
    'PUT /busy': () => [204, {}, (busy = true) && ''],
    'DELETE /busy': () => [204, {}, (busy = false) || ''],
  };
  const [status, headers, content] = await routes[`${request.method} ${url.pathname}`]();
  response.writeHead(status, headers).end(content);
}).listen(Number(port), '127.0.0.1');
