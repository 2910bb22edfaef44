export const handler = async (event) => {
  if (event.name === undefined) throw new Error("no name in the event");
  return { message: `Hello, ${event.name}, from Bun ${Bun.version}!` };
};
