# What `lambdad runtime test` asks of a function; see docs/runtimes.md.
raise "asked to fail" if ENV["CONFORMANCE_INIT_ERROR"]

def handler(event:, context:)
  case event["conformance"]
  when "echo" then event
  when "deadline" then { deadline_ms: context.is_a?(Hash) ? context[:deadline_ms] : context.deadline_ms }
  when "large" then { text: "x" * event["bytes"] }
  when "sleep"
    sleep(event["ms"] / 1000.0)
    event
  else raise "#{event['conformance']}: asked to fail, or unknown here"
  end
end
