-- POST of a JSON object of ten members, 128 bytes.
local body = '{"a":1,"b":"text","c":1.5,"d":true,"e":"more text","f":7,"g":"x","h":[1,2,3],"i":{"k":1},"j":"'
body = body .. string.rep("z", 126 - #body) .. '"}'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = body
