// What both libraries for JavaScript share: lines in, lines out. See client.js.

import { createInterface } from 'node:readline';

import { decode, encode } from '../wire.js';

/** Tells what the library told its user. */
export function tell(command, headers = {}, body = '') {
  process.stdout.write(`${encode({ command, headers, body }).toString('base64')}\n`);
}

/** Does each line: `actions` by command, `other` for the rest. */
export function obey(actions) {
  createInterface({ input: process.stdin }).on('line', (line) => {
    const { command, headers, body } = decode(Buffer.from(line, 'base64')).frame;
    delete headers['content-length'];
    actions[command](headers, body);
  });
}

/** `headers` without those that the library's call takes as parameters. */
export function without(headers, ...names) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
}
