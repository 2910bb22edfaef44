// The HTTP side of AWS's Node.js runtime client, in JavaScript: a drop-in for its addon `rapid-client.node`.
//
// The client calls `next()` for a promise of `{ bodyJson, headers }`, and `done(id, body)` and `error(id, body, cause)`
// without waiting for them; the addon sends those before it returns, and so does this module as far as the kernel takes
// the bytes at once, because the client may end the process right after `error`. Requests use one connection and never
// overlap: `next` waits for the answers to the posts before it.
//
// The connection keeps the event loop alive only while an answer is awaited: a handler that has nothing left to do
// must be able to end an invocation by letting the loop run empty.

import net from "node:net";

const API = "/2018-06-01/runtime/invocation";
const HEAD_MAX = 2 * 1024 * 1024;
const BODY_MAX = 64 * 1024 * 1024;

export class Transport {
  #host;
  #userAgent;
  #connection = null;
  #posts = Promise.resolve();

  constructor(host, userAgent) {
    this.#host = host;
    this.#userAgent = userAgent;
  }

  next = async () => {
    await this.#posts;
    const { status, headers, body } = await this.#request("GET", `${API}/next`, {}, "");
    if (status !== 200) throw new Error(`Failed to get next invocation, status ${status}: ${body.subarray(0, 512)}`);
    return { bodyJson: body.toString("utf8"), headers };
  };

  done = (id, body) => this.#post(`${API}/${id}/response`, {}, body);

  error = (id, body, cause) => {
    this.#post(`${API}/${id}/error`, cause ? { "Lambda-Runtime-Function-XRay-Error-Cause": cause } : {}, body);
  };

  #post(path, headers, body) {
    const answer = this.#request("POST", path, { "Content-Type": "application/json", ...headers }, body);
    // A failed post ends the process through `next`, which awaits this: the platform sees the runtime exit.
    const checked = answer.then(({ status, body: text }) => {
      // A response too large is refused with 413, which the platform has then reported itself: the next event is due.
      if ((status < 200 || status > 299) && status !== 413) {
        throw new Error(`Failed to post invocation response, status ${status}: ${text.subarray(0, 512)}`);
      }
    });
    this.#posts = Promise.all([this.#posts, checked]);
    this.#posts.catch(() => {});
  }

  // Writes at once, without waiting for a turn of the event loop. A connection that the server closed while it was idle
  // is opened anew once; a request of which a part of the answer was seen is never sent again.
  #request(method, path, headers, body) {
    const content = Buffer.from(body, "utf8");
    let head = `${method} ${path} HTTP/1.1\r\nHost: ${this.#host}\r\nUser-Agent: ${this.#userAgent}\r\n`;
    for (const [name, value] of Object.entries(headers)) head += `${name}: ${value.replace(/[\r\n]/g, " ")}\r\n`;
    if (method === "POST") head += `Content-Length: ${content.length}\r\n`;
    const message = Buffer.concat([Buffer.from(`${head}\r\n`, "utf8"), content]);

    const reused = this.#connection !== null && !this.#connection.closed;
    if (!reused) this.#connection = new Connection(this.#host);
    return this.#connection.exchange(message).catch((problem) => {
      if (!reused || !problem.unanswered) throw problem;
      this.#connection = new Connection(this.#host);
      return this.#connection.exchange(message);
    });
  }
}

// One TCP connection; requests are written as they come, answers resolve them in that order.
class Connection {
  closed = false;
  #socket;
  #waiting = [];
  #chunks = [];
  #size = 0;
  #needed = 0;

  constructor(host) {
    const colon = host.lastIndexOf(":");
    this.#socket = net.connect({ host: host.slice(0, colon), port: Number(host.slice(colon + 1)), noDelay: true });
    this.#socket.on("data", (data) => this.#receive(data));
    this.#socket.on("error", (problem) => this.#end(problem));
    this.#socket.on("close", () => this.#end(new Error("the connection was closed")));
    this.#socket.unref();
  }

  exchange(message) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.ref();
      this.#socket.write(message);
    });
  }

  #receive(data) {
    this.#chunks.push(data);
    this.#size += data.length;
    if (this.#size < this.#needed) return;
    let buffer = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
    try {
      while (buffer.length > 0) {
        const parsed = parse(buffer);
        this.#needed = parsed.needed ?? 0;
        if (parsed.needed !== undefined) break;
        buffer = buffer.subarray(parsed.end);
        if (parsed.answer.status >= 200) this.#resolve(parsed.answer);
      }
    } catch (problem) {
      this.#socket.destroy(problem);
    }
    this.#chunks = buffer.length > 0 ? [buffer] : [];
    this.#size = buffer.length;
  }

  #resolve(answer) {
    if (answer.headers.connection === "close") this.closed = true;
    const first = this.#waiting.shift();
    if (this.#waiting.length === 0) this.#socket.unref();
    first?.resolve(answer);
  }

  #end(problem) {
    this.closed = true;
    const unanswered = this.#size === 0;
    for (const { reject } of this.#waiting.splice(0)) {
      reject(Object.assign(new Error(`The Lambda Runtime API failed: ${problem.message}`), { unanswered }));
    }
  }
}

// An answer at the start of `buffer` as `{ answer, end }`, or `{ needed }`: how many bytes to wait for at least.
function parse(buffer) {
  const split = buffer.indexOf("\r\n\r\n");
  if (split < 0) {
    if (buffer.length > HEAD_MAX) throw new Error(`a header of more than ${HEAD_MAX} bytes`);
    return { needed: buffer.length + 1 };
  }
  const [first, ...lines] = buffer.toString("utf8", 0, split).split("\r\n");
  const match = /^HTTP\/1\.[01] (\d{3})/.exec(first);
  if (!match) throw new Error(`not an HTTP answer: ${first.slice(0, 64)}`);
  const status = Number(match[1]);
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }
  const start = split + 4;
  if (headers["transfer-encoding"]?.toLowerCase() === "chunked") return parseChunks(buffer, start, status, headers);
  if (status < 200 || status === 204 || status === 304) {
    return { answer: { status, headers, body: Buffer.alloc(0) }, end: start };
  }
  const length = Number(headers["content-length"] ?? NaN);
  if (!(length >= 0 && length <= BODY_MAX)) throw new Error("an answer without a usable Content-Length");
  const end = start + length;
  if (buffer.length < end) return { needed: end };
  return { answer: { status, headers, body: buffer.subarray(start, end) }, end };
}

function parseChunks(buffer, start, status, headers) {
  const parts = [];
  let total = 0;
  for (let position = start; ; ) {
    const line = buffer.indexOf("\r\n", position);
    if (line < 0) return { needed: buffer.length + 1 };
    const size = parseInt(buffer.toString("latin1", position, line), 16);
    total += size;
    if (!(total <= BODY_MAX)) throw new Error("a chunk of no usable size");
    position = line + 2;
    if (size === 0) return parseTrailers(buffer, position, { status, headers, body: Buffer.concat(parts) });
    if (buffer.length < position + size + 2) return { needed: position + size + 2 };
    parts.push(buffer.subarray(position, position + size));
    position += size + 2;
  }
}

function parseTrailers(buffer, start, answer) {
  for (let position = start; ; ) {
    const line = buffer.indexOf("\r\n", position);
    if (line < 0) return { needed: buffer.length + 1 };
    if (line === position) return { answer, end: line + 2 };
    position = line + 2;
  }
}
