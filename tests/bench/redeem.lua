-- wrk: redemptions of 1 minor unit, each under a key and a request number of its own.
-- Arguments: a file with a line "key first_card last_card weight" for each merchant, the run's stamp, and, for an
-- open loop, how many requests a second are due: each takes a connection that is free; with none free it isn't sent.
local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long ns; } timespec; int clock_gettime(int, timespec *);")
local clock = ffi.new("timespec")
local threads = 0

local function now_us()
  ffi.C.clock_gettime(1, clock)
  return tonumber(clock.s) * 1e6 + tonumber(clock.ns) / 1e3
end

local function pace(per_s)
  local due_us = now_us()
  function delay()
    local now = now_us()
    due_us = math.max(due_us + 1e6 / per_s, now - 1e5)
    return math.max(0, math.floor((due_us - now) / 1e3))
  end
end

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  stamp = args[2]
  count = 0
  slots = {}
  if args[3] then pace(tonumber(args[3])) end
  math.randomseed(tonumber(stamp:sub(-6), 32) + 7919 * number)
  for line in io.lines(args[1]) do
    local key, first, last, weight = line:match("(%S+) (%d+) (%d+) (%d+)")
    local target = {
      first = tonumber(first),
      last = tonumber(last),
      head = "POST /v1/redemptions HTTP/1.1\r\nHost: " .. wrk.host .. "\r\nAuthorization: Bearer " .. key
        .. "\r\nContent-Type: application/json\r\nIdempotency-Key: ",
    }
    for _ = 1, tonumber(weight) do slots[#slots + 1] = target end
  end
end

function request()
  count = count + 1
  local target = slots[math.random(#slots)]
  local id = stamp .. "-" .. number .. "-" .. count
  local body = '{"request_no":"' .. id .. '","amount":{"value":1,"currency":"CNY"},"sources":[{"card_number":"'
    .. string.format("8801%012d", math.random(target.first, target.last)) .. '"}]}'
  return target.head .. id .. "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("figures %d %d %d %d %d\n", summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, latency.max))
end
