-- Script for wrk: requests all paths in turn and prints the results as one line of JSON.
-- Arguments: 1 file with one path per line  2 "check" to check the body of every response
local threads, requests, turn = {}, {}, 0
bad = 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  for path in io.lines(args[1]) do
    table.insert(requests, wrk.format('GET', path))
  end
  if args[2] == 'check' then
    -- wrk calls this function for every response only if it is defined. It costs a third of the speed.
    response = function(status, _, body)
      local upstream, meant = body:sub(1, 3), body:sub(5, 7)
      local whole = #body == 1024 and body:sub(-1) == '!'
      if status ~= 200 or upstream ~= meant or not whole then bad = bad + 1 end
    end
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local bad = 0
  for _, thread in ipairs(threads) do bad = bad + thread:get('bad') end
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"bytes":%d,"errors":%d,"statuses":%d,"bad":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.timeout,
    e.status, bad, latency:percentile(50), latency:percentile(99)))
end
