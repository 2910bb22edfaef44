# frozen_string_literal: true

# The client of the Runtime API for Ruby functions: loads the handler, then asks for an event, answers it, again.
#
# Installed as /var/runtime/bootstrap.rb. AWS's own gem cannot be had without RubyGems; the conventions are AWS's:
# `file.method` or `file.Module::Class.method`, called with `event:` and `context:`.

require "json"
require "net/http"

module LambdadRuntime
  PREFIX = "/2018-06-01/runtime"
  TRACE_MAX = 100

  # What a handler gets as `context:`.
  class Context
    attr_reader :aws_request_id, :invoked_function_arn, :deadline_ms, :identity, :client_context

    def initialize(headers)
      @aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
      @invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
      @deadline_ms = headers["Lambda-Runtime-Deadline-Ms"].to_i
      @identity = parse(headers["Lambda-Runtime-Cognito-Identity"])
      @client_context = parse(headers["Lambda-Runtime-Client-Context"])
    end

    def function_name = ENV.fetch("AWS_LAMBDA_FUNCTION_NAME", "")

    def function_version = ENV.fetch("AWS_LAMBDA_FUNCTION_VERSION", "")

    def memory_limit_in_mb = ENV.fetch("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")

    def log_group_name = ENV.fetch("AWS_LAMBDA_LOG_GROUP_NAME", "")

    def log_stream_name = ENV.fetch("AWS_LAMBDA_LOG_STREAM_NAME", "")

    def get_remaining_time_in_millis
      [deadline_ms - (Time.now.to_f * 1000).to_i, 0].max
    end

    private

    def parse(text)
      text && JSON.parse(text)
    end
  end

  # One connection to the Runtime API, for as long as the process lives.
  class Client
    def initialize(address)
      host, port = address.split(":")
      @http = Net::HTTP.new(host, port)
      @http.read_timeout = nil
      @http.keep_alive_timeout = 86_400
      @http.max_retries = 0
      @http.start
    end

    # The response to `next`, whose body is the event.
    def next
      answer = @http.get("#{PREFIX}/invocation/next", { "Accept-Encoding" => "identity" })
      raise "next: status #{answer.code}" unless answer.is_a?(Net::HTTPSuccess)

      answer
    end

    def respond(id, body, type)
      post("invocation/#{id}/response", body, { "Content-Type" => type })
    end

    def fail(path, error)
      headers = { "Content-Type" => "application/vnd.aws.lambda.error+json",
                  "Lambda-Runtime-Function-Error-Type" => error[:errorType] }
      post("#{path}/error", JSON.generate(error), headers)
    end

    private

    def post(path, body, headers)
      answer = @http.post("#{PREFIX}/#{path}", body, headers)
      warn "lambdad: #{path} was answered with #{answer.code}: #{answer.body}" unless answer.is_a?(Net::HTTPSuccess)
    end
  end

  module_function

  # The error as AWS words it. kind: `Init` or `Function`.
  def describe(kind, error)
    lines = (error.backtrace || []).reject { |line| line.start_with?("/var/runtime/") }
    message = error.message.dup.force_encoding(Encoding::UTF_8).scrub
    { errorMessage: message, errorType: "#{kind}<#{error.class.name}>", stackTrace: lines.first(TRACE_MAX) }
  end

  # The method that `_HANDLER` names. Raises what loading the file raises.
  def load_handler(name)
    file, target, method = name.split(".")
    raise ArgumentError, "Invalid handler #{name}, must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD " \
                         "where FILENAME corresponds with an existing Ruby source file FILENAME.rb" if target.nil?

    target, method = nil, target if method.nil?
    require file
    (target ? Object.const_get(target) : TOPLEVEL_BINDING.receiver).method(method)
  end

  # The body of a response and its type: what can be read goes as it is, all else as JSON.
  def encode(answer)
    return [answer.read, "application/unknown"] if answer.respond_to?(:read)

    [JSON.generate(answer), "application/json"]
  end

  def serve(client, handler)
    asked = client.next
    context = Context.new(asked)
    trace = asked["Lambda-Runtime-Trace-Id"]
    trace ? ENV["_X_AMZN_TRACE_ID"] = trace : ENV.delete("_X_AMZN_TRACE_ID")
    body, type = begin
      event = JSON.parse((asked.body || "").force_encoding(Encoding::UTF_8))
      encode(handler.call(event: event, context: context))
    rescue Exception => e # an error of the function, whatever it is
      raise if e.is_a?(SignalException) || e.is_a?(SystemExit)

      error = describe("Function", e)
      warn JSON.generate(error)
      return client.fail("invocation/#{context.aws_request_id}", error)
    end
    client.respond(context.aws_request_id, body, type)
  end

  def main
    $stdout.sync = true
    $stderr.sync = true
    $LOAD_PATH.unshift(ENV.fetch("LAMBDA_TASK_ROOT"))
    client = Client.new(ENV.fetch("AWS_LAMBDA_RUNTIME_API"))
    begin
      handler = load_handler(ENV.fetch("_HANDLER"))
    rescue Exception => e # an error of the function, whatever it is
      raise if e.is_a?(SignalException) || e.is_a?(SystemExit)

      error = describe("Init", e)
      warn JSON.generate(error)
      client.fail("init", error)
      exit 1
    end
    loop { serve(client, handler) }
  end
end

LambdadRuntime.main
