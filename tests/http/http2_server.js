// An HTTP/2 server that counts: node http2_server.js CERTIFICATE_AND_KEY.pem
// Answers POST with the body it was sent; /count with what has come; /busy is 503; /reset resets the stream; /goaway ends the session.
const { readFileSync } = require("node:fs");
const http2 = require("node:http2");

const pem = readFileSync(process.argv[2]);
const seen = { sessions: 0, versions: {} };
const server = http2.createSecureServer({ key: pem, cert: pem });
server.on("session", () => (seen.sessions += 1));
server.on("sessionError", () => {});
server.on("request", (request, response) => {
  if (request.url === "/count") {
    response.end(JSON.stringify(seen));
    return;
  }
  seen.versions[request.httpVersion] = (seen.versions[request.httpVersion] ?? 0) + 1;
  if (request.url === "/busy") {
    response.writeHead(503, { "Retry-After": "120" }).end();
    return;
  }
  if (request.url === "/reset") {
    response.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    return;
  }
  if (request.url === "/goaway") {
    request.stream.session.destroy();
    return;
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => response.end(Buffer.concat(chunks)));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
