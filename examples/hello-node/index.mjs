// Two handlers of one module: `index.handler` answers at once, `index.stream` piece by piece.

export const handler = async (event, context) => {
  const name = event.name ?? "world";
  console.log(`saying hello to ${name}`);
  return { message: `Hello, ${name}!`, request: context.awsRequestId, node: process.versions.node };
};

export const stream = awslambda.streamifyResponse(async (event, response) => {
  for (const word of ["Hello,", " ", event.name ?? "world", "!"]) response.write(word);
  response.end();
});
