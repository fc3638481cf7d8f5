// Tokens of the provider, got as applications get them.

import { createHash, randomBytes } from 'node:crypto';
import { Person } from './world.js';

const BASIC = (id, secret) => `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;

async function ask(ports, authorization, form) {
  const response = await fetch(`http://127.0.0.1:${ports.provider}/token`, {
    method: 'POST',
    headers: { authorization },
    body: new URLSearchParams(form),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(`the provider refused: ${JSON.stringify(body)}`);
  return body;
}

/** A program's own token. */
export async function ofProgram(ports, resource) {
  const form = { grant_type: 'client_credentials', scope: 'api', resource };
  return (await ask(ports, BASIC('reports', 'another secret'), form)).access_token;
}

/** What an application gets for somebody who signed in to it: an access token for `resource`, and an ID token. */
export async function ofPerson(ports, sub, resource) {
  const verifier = randomBytes(32).toString('base64url');
  const callback = `http://127.0.0.1:${ports.other}/`;
  const query = new URLSearchParams({
    client_id: 'landside',
    redirect_uri: callback,
    response_type: 'code',
    scope: 'openid profile api',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...(resource ? { resource } : {}),
  });
  const landed = await new Person().visit(`http://127.0.0.1:${ports.provider}/auth?${query}`, sub, (url) => url.startsWith(callback));
  const code = new URL(landed.url).searchParams.get('code');
  const form = { grant_type: 'authorization_code', code, redirect_uri: callback, code_verifier: verifier };
  return ask(ports, BASIC('landside', 'a secret: of +%'), resource ? { ...form, resource } : form);
}

/** What a token says, unchecked. */
export function claims(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
}
