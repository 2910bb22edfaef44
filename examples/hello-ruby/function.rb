def handler(event:, context:)
  raise ArgumentError, "no name in the event" unless event["name"]

  { message: "Hello, #{event['name']}, from Ruby #{RUBY_VERSION}!" }
end
