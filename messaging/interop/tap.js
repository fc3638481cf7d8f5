// What stands between a client and the broker: sees the bytes, and can cut the line.

import net from 'node:net';

/** A single LF as the client's transport carries it: alone over TCP; with a head of 2 bytes, and 4 of mask when a client sends it, over WebSocket. */
const BEAT_BYTES = { tcp: { up: 1, down: 1 }, ws: { up: 7, down: 3 } };

export class Tap {
  /** Listens on a free port, and takes what connects there to `target`. */
  static async listen(target, transport) {
    const tap = new Tap(target, transport);
    await new Promise((resolve, reject) => {
      tap.server.once('error', reject);
      tap.server.listen(0, '127.0.0.1', resolve);
    });
    return tap;
  }

  constructor(target, transport) {
    this.target = target;
    this.transport = transport;
    this.lines = new Set();
    this.held = null;
    this.server = net.createServer({ noDelay: true, pauseOnConnect: true }, (near) => {
      near.on('error', () => near.destroy());
      if (this.held) this.held.push(near);
      else this.#join(near);
    });
    this.forget();
  }

  get port() {
    return this.server.address().port;
  }

  /** Forgets what was seen. */
  forget() {
    this.received = [];
    this.beats = { up: 0, down: 0 };
  }

  /** Everything that the client received since `forget`. */
  get bytesReceived() {
    return Buffer.concat(this.received);
  }

  /** Loses every connection, without a word to either side; new ones wait for `mend`. */
  cut() {
    this.held = [];
    for (const line of this.lines) line.destroy();
  }

  mend() {
    const waiting = this.held ?? [];
    this.held = null;
    for (const near of waiting) this.#join(near);
  }

  close() {
    this.server.close();
    for (const line of this.lines) line.destroy();
  }

  #join(near) {
    const far = net.connect({ ...this.target, noDelay: true });
    for (const [from, to, direction] of [[near, far, 'up'], [far, near, 'down']]) {
      this.lines.add(from);
      from.on('data', (chunk) => {
        if (chunk.length === BEAT_BYTES[this.transport][direction]) this.beats[direction] += 1;
        if (direction === 'down') this.received.push(chunk);
        to.write(chunk);
      });
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.lines.delete(from);
        to.destroySoon();
      });
    }
    near.resume();
  }
}
