// A small identity provider: oidc-provider with a handful of people and clients. One process, so that a test can stop it, shift
// its clock and give it other keys. Its environment says which: PORT, ALGORITHM, KEY_ID, RETURN_URLS.

import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const { PORT, ALGORITHM, KEY_ID, RETURN_URLS } = process.env;
const ISSUER = `http://127.0.0.1:${PORT}`;

/** Who they are for ever is the key; what they are called changes. */
const PEOPLE = {
  'id-omar': { preferred_username: 'omar@airport.example', name: 'Omar O.', groups: ['landside-operators', 'canteen'] },
  'id-mfa': { preferred_username: 'mia@airport.example', name: 'Mia M.', groups: ['landside-technicians'] },
  'id-guest': { preferred_username: 'guest@airport.example', name: 'Guest', groups: ['canteen'] },
  'id-thief': { preferred_username: 'Ada', name: 'Not Ada', groups: ['landside-operators'] },
};

const kind = ALGORITHM === 'ES256' ? ['ec', { namedCurve: 'P-256' }] : ['rsa', { modulusLength: 2048 }];
const key = generateKeyPairSync(...kind).privateKey.export({ format: 'jwk' });
const signed = { id_token_signed_response_alg: ALGORITHM };

const provider = new Provider(ISSUER, {
  jwks: { keys: [{ ...key, kid: KEY_ID, use: 'sig', alg: ALGORITHM }] },
  clients: [
    { ...signed, client_id: 'landside', client_secret: 'a secret: of +%', redirect_uris: RETURN_URLS.split(' ') },
    {
      ...signed,
      client_id: 'reports',
      client_secret: 'another secret',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  cookies: { keys: ['only for a test'] },
  claims: { openid: ['sub'], profile: ['preferred_username', 'name', 'groups'] },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, ...PEOPLE[sub] }) }),
  extraTokenClaims: (_, token) => (token.accountId ? PEOPLE[token.accountId] : { groups: ['landside-machines'] }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: 'api',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: ALGORITHM } },
      }),
      useGrantedResource: () => true,
    },
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  // Whoever signs in agrees to everything: consent is not what is tested.
  async loadExistingGrant({ oidc }) {
    const grant = new oidc.provider.Grant({ accountId: oidc.session.accountId, clientId: oidc.client.clientId });
    grant.addOIDCScope('openid profile');
    for (const resource of Object.keys(oidc.resourceServers ?? {})) grant.addResourceScope(resource, 'api');
    await grant.save();
    return grant;
  },
  pkce: { required: () => true },
  ttl: { AccessToken: 300, IdToken: 300 },
});

const oidc = provider.callback();
createServer(async (request, response) => {
  if (!request.url.startsWith('/interaction/')) {
    oidc(request, response);
    return;
  }
  if (request.method === 'GET') {
    response.setHeader('content-type', 'text/html');
    response.end('<!DOCTYPE html><title>Who?</title><link rel="icon" href="data:,"><form method="post"><input name="login"><button>Sign in</button></form>');
    return;
  }
  let body = '';
  for await (const part of request) body += part;
  const accountId = new URLSearchParams(body).get('login');
  const amr = accountId === 'id-mfa' ? ['pwd', 'otp'] : ['pwd'];
  const result = accountId === 'cancel' ? { error: 'access_denied' } : { login: { accountId, amr } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}).listen(Number(PORT), '127.0.0.1', () => console.log('ready'));
