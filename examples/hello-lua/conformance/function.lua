-- What `lambdad runtime test` asks of a function; see docs/runtimes.md.
if os.getenv("CONFORMANCE_INIT_ERROR") then error("asked to fail", 0) end

return function(event, context)
  if event.conformance == "echo" then return event end
  if event.conformance == "deadline" then return { deadline_ms = context.deadline_ms } end
  if event.conformance == "large" then return { text = ("x"):rep(event.bytes) } end
  if event.conformance == "sleep" then
    require("socket").sleep(event.ms / 1000)
    return event
  end
  error("asked to fail, or unknown here", 0)
end
