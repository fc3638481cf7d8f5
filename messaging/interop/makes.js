// The clients of other makes: how each is brought and started, and which features it does not have, with the reason.

import { execFile, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = join(HERE, '..', '..');
const BUILT = join(ROOT, 'target', 'interop');
const VENV = join(BUILT, 'venv');
const REFERENCE = join(ROOT, 'docs', 'clients');
const run = promisify(execFile);

const works = (program, ...words) => spawnSync(program, words, { stdio: 'ignore' }).status === 0;
const adapter = (name) => join(HERE, 'clients', name);

/** Builds `output` from `sources` with `command`, unless it is newer than they are. */
async function build(output, sources, [program, ...words]) {
  const changed = (path) => statSync(path).mtimeMs;
  if (existsSync(output) && sources.every((path) => changed(path) < changed(output))) return;
  mkdirSync(BUILT, { recursive: true });
  await run(program, words);
}

/** A virtual environment with what the requirements file names. One preparation serves all versions. */
let environment = null;
function prepareVenv() {
  environment ??= (async () => {
    const wanted = adapter('requirements.txt');
    const installed = join(VENV, 'installed-requirements.txt');
    if (existsSync(installed) && readFileSync(installed).equals(readFileSync(wanted))) return;
    rmSync(VENV, { recursive: true, force: true });
    await run('python3', ['-m', 'venv', VENV]);
    await run(join(VENV, 'bin', 'pip'), ['install', '--quiet', '--require-hashes', '--only-binary=:all:', '--requirement', wanted]);
    copyFileSync(wanted, installed);
  })();
  return environment;
}

const NO_ESCAPES = 'STOMP 1.0 has no escapes';
const VALUES_ONLY = 'the library escapes values, not names';
const TRIMS = 'the library trims the headers that it receives, which the specification forbids';
const OLD_ESCAPES = 'the library neither writes nor reads the escapes of 1.1; the broker answers an undefined one with ERROR';

function stompPy(version, without) {
  return {
    id: `stomp.py-${version}`,
    name: `stomp.py 9.0, ${version}`,
    version,
    transport: 'tcp',
    command: [join(VENV, 'bin', 'python'), adapter('stomp_py.py'), version],
    // It would look up the machine's own name first.
    environment: { STOMP_SKIP_HOSTNAME_SCAN: '1' },
    missing: () => (works('python3', '-c', 'import venv, ensurepip') ? null : 'no python3 with venv (tools/setup interop)'),
    prepare: prepareVenv,
    without,
  };
}

/** What the two of docs/clients share. `positions`: subscriptions to topics have a position from the start, by a gap notice. */
const REFERENCE_CLIENT = { version: '1.2', transport: 'tcp', reconnects: true, positions: true, refusal: 'CLOSED' };

export const MAKES = [
  stompPy('1.0', {
    'header with line breaks': NO_ESCAPES,
    'header with blanks around it': 'in STOMP 1.0 blanks around a value are padding',
    'header name with a colon': NO_ESCAPES,
    'ack:client-individual covers one': 'STOMP 1.0 has auto and client only',
    'NACK, and redelivery': 'STOMP 1.0 has no NACK',
    'heart-beats keep an idle connection': 'STOMP 1.0 has no heart-beats',
  }),
  stompPy('1.1', { 'header name with a colon': VALUES_ONLY }),
  stompPy('1.2', { 'header name with a colon': VALUES_ONLY }),
  {
    id: 'stompjs-7',
    name: '@stomp/stompjs 7.3',
    version: '1.2',
    transport: 'ws',
    reconnects: true,
    command: [process.execPath, adapter('stompjs-7.js')],
    missing: () => null,
    prepare: async () => {},
    without: { 'header with blanks around it': TRIMS, 'header name with a colon': VALUES_ONLY },
  },
  {
    id: 'stompjs-2',
    name: 'stompjs 2.3.3',
    version: '1.1',
    transport: 'ws',
    command: [process.execPath, adapter('stompjs-2.js')],
    missing: () => null,
    prepare: async () => {},
    without: {
      'header with colons': OLD_ESCAPES,
      'header with backslashes': OLD_ESCAPES,
      'header with line breaks': OLD_ESCAPES,
      'header with blanks around it': TRIMS,
      'header name with a colon': OLD_ESCAPES,
      'binary body with NUL': 'the library takes the first NUL for the end of a frame, whatever content-length says',
    },
  },
  {
    id: 'java',
    name: 'LandsideClient.java',
    ...REFERENCE_CLIENT,
    // Quick to start rather than quick in the long run: two processors serve all clients.
    command: ['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', join(BUILT, 'java'), 'JavaPeer'],
    missing: () => (works('javac', '-version') ? null : 'no Java compiler (tools/setup interop)'),
    prepare() {
      const sources = [join(REFERENCE, 'LandsideClient.java'), adapter('JavaPeer.java')];
      const output = join(BUILT, 'java');
      return build(join(output, 'JavaPeer.class'), sources, ['javac', '-Xlint:all', '-Werror', '-d', output, ...sources]);
    },
    without: {},
  },
  {
    id: 'csharp',
    name: 'LandsideClient.cs',
    ...REFERENCE_CLIENT,
    command: ['mono', join(BUILT, 'CsPeer.exe')],
    missing: () => (works('mcs', '--version') && works('mono', '--version') ? null : 'no mono with mcs (tools/setup interop)'),
    prepare() {
      const sources = [join(REFERENCE, 'LandsideClient.cs'), adapter('CsPeer.cs')];
      const output = join(BUILT, 'CsPeer.exe');
      return build(output, sources, ['mcs', '-warnaserror', `-out:${output}`, ...sources]);
    },
    without: {},
  },
];
