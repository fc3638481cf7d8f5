// Debian's nginx as a child process, with docs/nginx.conf as an installation would have it.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

import { freePorts } from '../demo.js';

const EXAMPLE = new URL('../../docs/nginx.conf', import.meta.url);

/** Debian keeps the program where only root looks. */
function program() {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'];
  return directories.map((directory) => join(directory, 'nginx')).find((path) => existsSync(path));
}

/** Why there is no nginx here, or null. */
export const missingNginx = () => (program() ? null : 'no nginx (tools/setup test)');

/** The example with `what` replaced, which must stand in it exactly once. */
function fill(text, what, replacement) {
  const parts = text.split(what);
  if (parts.length !== 2) throw new Error(`docs/nginx.conf has "${what}" ${parts.length - 1} times, not once`);
  return parts.join(replacement);
}

/**
 * What stands around a site: as in Debian's own nginx.conf, but for places and addresses. Compression is on there, for HTML. Here
 * it is on for every stream, as many have it: what is compressed is held back, unless the server asks that it is not.
 */
function surroundings(directory) {
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `  ${kind}_temp_path ${directory}/${kind};`);
  return `daemon off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log stderr notice;
events { worker_connections 768; }
http {
  sendfile on;
  tcp_nopush on;
  types_hash_max_size 2048;
  default_type application/octet-stream;
  gzip on;
  gzip_types text/plain application/json application/javascript text/event-stream;
  access_log off;
${places.join('\n')}
  include ${directory}/landside.conf;
}
`;
}

/** Starts an nginx before the server that listens on `port` of the loopback; resolves with its own port. */
export async function startNginx(port) {
  const directory = await mkdtemp(join(tmpdir(), 'landside-nginx-'));
  await chmod(directory, 0o755); // Its worker is another user where this one is root.
  const [own] = await freePorts(1);
  const site = fill(await readFile(EXAMPLE, 'utf8'), 'server 127.0.0.1:8080;', `server 127.0.0.1:${port};`);
  await writeFile(join(directory, 'landside.conf'), fill(site, 'listen 80;', `listen 127.0.0.1:${own};`));
  await writeFile(join(directory, 'nginx.conf'), surroundings(directory));
  const child = spawn(program(), ['-e', 'stderr', '-p', directory, '-c', join(directory, 'nginx.conf')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  const ended = new Promise((resolve) => child.once('close', resolve));
  const ready = new Promise((resolve) => child.stderr.on('data', (text) => {
    said = `${said}${text}`.slice(-4000);
    if (said.includes('start worker process ')) resolve('ready');
  }));
  const failed = new Promise((resolve) => child.once('error', resolve));
  const outcome = await Promise.race([ready, ended, failed]);
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  if (outcome !== 'ready') {
    await rm(directory, { recursive: true, force: true });
    throw new Error(`nginx did not start: ${said || outcome}`);
  }
  return { port: own, stop, kill: () => child.kill('SIGTERM') };
}
