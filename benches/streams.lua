-- POST of 128 bytes, each to the next of STREAMS paths.
local streams = tonumber(os.getenv("STREAMS") or "1024")
local body = string.rep("a", 128)
local at = 0
request = function()
  at = (at + 1) % streams
  return wrk.format("POST", "/s" .. at, { ["Content-Type"] = "application/octet-stream" }, body)
end
