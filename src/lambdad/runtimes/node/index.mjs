// Starts AWS's Node.js client in a sandbox, with `transport.mjs` in place of the client's compiled addon.
//
// Installed as /var/runtime/index.mjs. Releases of the client before 4 export `run`; later ones start when imported.

import Module from "node:module";

import { Transport } from "./transport.mjs";

const transport = new Transport(process.env.AWS_LAMBDA_RUNTIME_API, `aws-lambda-nodejs/${process.versions.node}`);

// The client asks for its addon once, by this name; every other request, and all later ones, go the ordinary way.
const load = Module._load;
Module._load = function (request, ...rest) {
  if (request !== "./rapid-client.node") return load.call(this, request, ...rest);
  Module._load = load;
  return transport;
};

const client = await import("aws-lambda-ric");
if (typeof client.run === "function") {
  await client.run(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
}
