return function(event)
  if not event.name then error("no name in the event", 0) end
  return { message = "Hello, " .. event.name .. ", from " .. _VERSION .. "!" }
end
