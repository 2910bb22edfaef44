// What `lambdad runtime test` asks of a function; see docs/runtimes.md.
if (process.env.CONFORMANCE_INIT_ERROR) throw new Error("asked to fail");

export const handler = async (event, context) => {
  switch (event.conformance) {
    case "echo":
      return event;
    case "deadline":
      return { deadline_ms: context.deadlineMs };
    case "large":
      return "x".repeat(event.bytes);
    case "sleep":
      await Bun.sleep(event.ms);
      return event;
    default:
      throw new Error("asked to fail, or unknown here");
  }
};
