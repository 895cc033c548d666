-- A wrk script that POSTs prepared callbacks, in order. Each thread has its own file.
-- The file contains, for each callback, a line with its length in bytes, followed by its body.
local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  prepared = {}
  local file = assert(io.open(args[1] .. "." .. number, "rb"))
  while true do
    local length = file:read("*n", "*l")
    if not length then break end
    local body = file:read(length)
    file:read("*l")
    prepared[#prepared + 1] = wrk.format("POST", "/callback", {["Content-Type"] = "application/json"}, body)
  end
  file:close()
  at = 0
end

function request()
  at = at % #prepared + 1
  return prepared[at]
end

function done(summary, latency, requests)
  io.write(string.format('RESULT {"requests": %d, "microseconds": %d, "errors": %d, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
