-- POST of 100 elements of 128 bytes: NDJSON, or a JSON array with ARRAY=1.
local element = '{"n":' .. string.rep("1", 16) .. ',"text":"' .. string.rep("a", 96) .. '"}'
element = element .. string.rep(" ", 128 - #element)
local elements = {}
for i = 1, 100 do elements[i] = element end
wrk.method = "POST"
if os.getenv("ARRAY") then
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Tidegate-Batch"] = "true"
  wrk.body = "[" .. table.concat(elements, ",") .. "]"
else
  wrk.headers["Content-Type"] = "application/x-ndjson"
  wrk.body = table.concat(elements, "\n")
end
