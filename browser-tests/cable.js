// A cable between a browser and a server, which a test pulls out and puts in again.

import { connect, createServer } from 'node:net';

/** A cable to the server at `url`; `cable.url` is this end of it. */
export async function layCable(url) {
  const { hostname, port } = new URL(url);
  const ends = new Set();
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const [end, other] of [[near, far], [far, near]]) {
      ends.add(end);
      end.setNoDelay(true);
      end.on('error', () => {}); // "close" follows.
      end.once('close', () => {
        ends.delete(end);
        other.destroy();
      });
      end.pipe(other);
    }
  });
  const listen = (at) => new Promise((resolve, reject) => {
    server.once('error', reject).listen(at, '127.0.0.1', () => resolve(server.address().port));
  });
  const mine = await listen(0);
  return {
    url: `http://127.0.0.1:${mine}`,
    /** Everybody is cut off, and nobody gets through. */
    async pull() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const end of ends) end.destroy();
      await closed;
    },
    mend: () => listen(mine),
  };
}
