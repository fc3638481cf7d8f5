// The clients as their packages have them for pages.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
const packaged = (name, file) => readFileSync(join(dirname(require.resolve(`${name}/package.json`)), file), 'utf8');

export const SOCKJS = packaged('sockjs-client', 'dist/sockjs.min.js');
export const STOMP = packaged('@stomp/stompjs', 'lib/stomp.min.js');
/** By version. */
export const SOCKET_IO = {
  4: () => packaged('socket.io-client', 'dist/socket.io.min.js'),
  2: () => packaged('socket.io-client-2', 'dist/socket.io.js'),
};
