// What `lambdad runtime test` asks of a function; see docs/runtimes.md. `index.stream` streams, `index.handler` cannot.

if (process.env.CONFORMANCE_INIT_ERROR) throw new Error("asked to fail");

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const handler = async (event, context) => {
  switch (event.conformance) {
    case "echo":
      return event;
    case "deadline":
      return { deadline_ms: deadlineOf(context) };
    case "large":
      return "x".repeat(event.bytes);
    case "sleep":
      await pause(event.ms);
      return event;
  }
  throw new Error(`${event.conformance}: asked to fail, or unknown here`);
};

export const stream = awslambda.streamifyResponse(async (event, response, context) => {
  if (!event.conformance.startsWith("stream")) {
    response.end(JSON.stringify(await handler(event, context)));
    return;
  }
  response.write("one ");
  response.write("two ");
  await pause(10);
  if (event.conformance === "stream-error") throw new Error("asked to fail");
  response.end("three");
});

// The client tells how much time is left; when that is measured twice in one millisecond, it is no guess.
function deadlineOf(context) {
  for (;;) {
    const before = Date.now();
    const left = context.getRemainingTimeInMillis();
    if (Date.now() === before) return before + left;
  }
}
