// A Lambda runtime in what Bun has of the web's standards: load the function, then ask for an event, answer it, again.
// The function is the export `handler` of function.mjs; it takes the event and a context.
const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;

const post = (path, body) =>
  fetch(`${api}/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
const describe = (error) => ({ errorType: error.name ?? "Error", errorMessage: String(error.message ?? error) });

let handler;
try {
  ({ handler } = await import(`${process.env.LAMBDA_TASK_ROOT}/function.mjs`));
} catch (error) {
  await post("init/error", describe(error));
  process.exit(1);
}

while (true) {
  const next = await fetch(`${api}/invocation/next`, { timeout: false });
  if (!next.ok) process.exit(1);
  const invocation = `invocation/${next.headers.get("lambda-runtime-aws-request-id")}`;
  const context = { deadlineMs: Number(next.headers.get("lambda-runtime-deadline-ms")) };
  try {
    await post(`${invocation}/response`, await handler(await next.json(), context));
  } catch (error) {
    await post(`${invocation}/error`, describe(error));
  }
}
