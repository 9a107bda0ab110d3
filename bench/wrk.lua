-- Sends the same request again and again (METHOD and the body's size come after the URL: wrk ... URL -- POST 10240),
-- and says at the end what was counted, as one line of JSON. No Lua runs for a request.

function init(args)
    wrk.method = args[1] or "GET"
    local size = tonumber(args[2] or "0")
    if size > 0 then
        wrk.body = string.rep("x", size)
        wrk.headers["Content-Type"] = "application/octet-stream"
    end
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '{"requests": %d, "bytes": %d, "microseconds": %d, "refused": %d, "broken": %d, "timeouts": %d}\n',
        summary.requests, summary.bytes, summary.duration, e.status, e.connect + e.read + e.write, e.timeout))
end
