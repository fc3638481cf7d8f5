// STOMP frames as bytes, and a peer of the run's own that speaks 1.2 over TCP: the other end of what a client does.

import assert from 'node:assert/strict';
import net from 'node:net';

/** No answer for so long is a failure. */
const PATIENCE_MS = 10_000;

const ESCAPES = { '\\': '\\\\', '\r': '\\r', '\n': '\\n', ':': '\\c' };
const MEANT = Object.fromEntries(Object.entries(ESCAPES).map(([plain, written]) => [written, plain]));
const isPlain = (command) => command.startsWith('CONNECT');

/** The bytes of a frame as 1.2 writes it. */
export function encode({ command, headers = {}, body = '' }) {
  const escape = isPlain(command) ? (text) => text : (text) => text.replace(/[\\\r\n:]/g, (octet) => ESCAPES[octet]);
  const lines = Object.entries(headers).map(([name, value]) => `${escape(name)}:${escape(`${value}`)}\n`);
  const bytes = Buffer.from(body);
  return Buffer.concat([Buffer.from(`${command}\n${lines.join('')}content-length:${bytes.length}\n\n`), bytes, Buffer.from([0])]);
}

/** The first frame in `bytes`, and how many bytes it took; null when it is not complete. Heart-beats before it are left out. */
export function decode(bytes) {
  let start = 0;
  while (bytes[start] === 10) start += 1;
  const end = bytes.indexOf('\n\n', start);
  if (end < 0) return null;
  const [command, ...lines] = bytes.toString('utf8', start, end).split('\n');
  const unescape = isPlain(command) ? (text) => text : (text) => text.replace(/\\./g, (escape) => {
    assert.ok(escape in MEANT, `undefined escape ${escape}`);
    return MEANT[escape];
  });
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[unescape(line.slice(0, colon))] ??= unescape(line.slice(colon + 1));
  }
  const from = end + 2;
  const to = 'content-length' in headers ? from + Number(headers['content-length']) : bytes.indexOf(0, from);
  if (to < from || to >= bytes.length) return null;
  assert.equal(bytes[to], 0, 'a frame ends with NUL');
  return { frame: { command, headers, body: Buffer.from(bytes.subarray(from, to)) }, length: to + 1 };
}

/** One line for people. */
export function show({ command, headers, body }) {
  const text = body.length > 40 ? `${body.length} bytes` : JSON.stringify(body.toString());
  return `${command} ${JSON.stringify(headers)} ${text}`;
}

/** What has come and nobody has looked at yet. */
export class Inbox {
  constructor(owner) {
    this.owner = owner;
    this.frames = [];
    this.waiting = null;
    this.failure = null;
  }

  push(frame) {
    this.frames.push(frame);
    this.waiting?.();
  }

  /** Whoever waits, now or later, gets this error. */
  fail(message) {
    this.failure ??= new Error(`${this.owner}: ${message}`);
    this.waiting?.();
  }

  /** Takes the first frame with this command and these headers, whatever else came before it. */
  async take(command, headers = {}) {
    const fits = (frame) => frame.command === command
      && Object.entries(headers).every(([name, value]) => frame.headers[name] === value);
    const until = Date.now() + PATIENCE_MS;
    for (;;) {
      const at = this.frames.findIndex(fits);
      if (at >= 0) return this.frames.splice(at, 1)[0];
      if (this.failure) throw this.failure;
      const left = until - Date.now();
      if (left <= 0) {
        const got = this.frames.map(show).join('; ') || 'nothing';
        throw new Error(`${this.owner} waits for ${command} ${JSON.stringify(headers)} and got ${got}`);
      }
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.waiting = () => { clearTimeout(timer); resolve(); };
      });
      this.waiting = null;
    }
  }

  /** Whether a frame with this command has come. */
  has(command) {
    return this.frames.some((frame) => frame.command === command);
  }
}

/** STOMP 1.2 over TCP, written here: what a client of another make sends must arrive, and what it is sent must be right. */
export class Peer {
  static async connect(address) {
    const peer = new Peer(address);
    peer.send('CONNECT', { 'accept-version': '1.2', host: 'interop', login: 'guest', passcode: 'guest' });
    await peer.inbox.take('CONNECTED');
    return peer;
  }

  constructor({ host, port }) {
    this.inbox = new Inbox('the peer');
    this.receipts = 0;
    this.socket = net.connect({ host, port, noDelay: true });
    let bytes = Buffer.alloc(0);
    this.socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (let next = decode(bytes); next; next = decode(bytes)) {
        bytes = bytes.subarray(next.length);
        this.inbox.push(next.frame);
      }
    });
    this.socket.on('error', (error) => this.inbox.fail(error.message));
  }

  send(command, headers, body) {
    this.socket.write(encode({ command, headers, body }));
  }

  /** Sends, and waits until the broker has done it. */
  async request(command, headers, body) {
    this.receipts += 1;
    const receipt = `peer-${this.receipts}`;
    this.send(command, { ...headers, receipt }, body);
    await this.inbox.take('RECEIPT', { 'receipt-id': receipt });
  }

  close() {
    this.socket.destroy();
  }
}
