// One cell of the matrix, tried: what a page does, and what must have come of it. Each returns null, or what went wrong.

import { SOCKJS, STOMP } from './clients.js';
import * as inPage from './in-page.js';

/** Nothing here takes this long unless it never comes; half of it is what a client gives one transport. */
const PATIENCE_MS = 30_000;

/** What transports lose, cut or reorder when they are careless: line ends of JavaScript, pairs of surrogates, NUL and its like. */
const ODD = ['\u2028', '\u2029', '\u{1f6eb}\u{1f600}', '\0', '\u0001\b\t\n\f\r\u001b\u007f\u0085', '"\\/</script>', '\u200c\u200f\u2060\ufeff\ufff0\uffff', '주차장', ''];

/** 40 messages, together longer than the 4,096 bytes after which the echo service ends a stream. */
const MESSAGES = Array.from({ length: 40 }, (_, index) => `${index} ${ODD.slice(index % ODD.length).concat(ODD).join(' ')}`);
const AT_ONCE = 30;

/** Remembers the page's requests: what they asked for last in their path, and with which headers. */
function watch(page) {
  const requests = [];
  const note = (url, headers) => requests.push({ last: new URL(url).pathname.split('/').pop(), headers });
  page.on('request', (request) => note(request.url(), request.headers()));
  page.on('websocket', (socket) => note(socket.url(), {}));
  return requests;
}

/** What the wire must have seen for this transport, or what it lacks. */
function unseen({ wire, streams, shim }, requests) {
  const missing = wire.filter((last) => !requests.some((request) => request.last === last));
  if (missing.length > 0) return `no request for ${missing.join(', ')}`;
  if (streams && requests.filter(({ last }) => last === streams).length < 2) return 'the stream was not ended after its limit';
  const dressed = requests.find(({ last, headers }) => shim && last === 'xhr_send' && (headers['content-type'] || headers.cookie));
  return dressed ? 'XDomainRequest sent a content type or a cookie: the test is mistaken' : null;
}

/** The first place where what came differs from what was sent, in words. */
function difference(expected, got, end) {
  const at = expected.findIndex((message, index) => message !== got[index]);
  if (at < 0 && expected.length === got.length) return null;
  return `${got.length} of ${expected.length} messages came; number ${at} is ${JSON.stringify(got[at])}; the end: ${end}`;
}

async function load(page, transport, ...scripts) {
  await page.evaluate(inPage.prepare, { shim: transport.shim === true, chosen: transport.chosen });
  for (const script of scripts) await page.evaluate(script);
}

const choice = (transport) => (transport.chosen ? undefined : [transport.name]);

function wrongTransport(transport, seen) {
  const expected = transport.chosen ?? transport.name;
  return seen.transport === expected ? null : `connected by ${seen.transport}, not by ${expected}; the end: ${seen.end}`;
}

/** The plain echo service, and the one that closes at once. */
export async function tryEcho(page, transport, base) {
  const requests = watch(page);
  await load(page, transport, SOCKJS);
  const plan = { transports: choice(transport), patience: PATIENCE_MS };
  const seen = await page.evaluate(inPage.echo, { ...plan, url: `${base}/echo`, atOnce: MESSAGES.slice(0, AT_ONCE), inTurn: MESSAGES.slice(AT_ONCE) });
  const wrong = wrongTransport(transport, seen) ?? difference(MESSAGES, seen.heard, seen.end);
  if (wrong) return wrong;
  if (seen.end !== '1000 Normal closure') return `closed with ${seen.end}`;
  const closed = await page.evaluate(inPage.echo, { ...plan, url: `${base}/close`, atOnce: [], inTurn: ['.'] });
  if (closed.end !== '3000 Go away!') return `/close closed with ${closed.end}`;
  return unseen(transport, requests);
}

/** STOMP to the product. */
export async function tryStomp(page, transport, base, site) {
  const requests = watch(page);
  await load(page, transport, SOCKJS, STOMP);
  const sends = MESSAGES.map((message, index) => ({
    destination: `/app/devices/${site.device}/commands`,
    // NUL ends a frame for this client, and it trims what it reads.
    headers: { receipt: `<${message.replaceAll('\0', '')}>` },
    body: JSON.stringify({ key: crypto.randomUUID(), name: `command ${index} \u{1f6eb} 주차장 \u2028\0` }),
  }));
  const seen = await page.evaluate(inPage.stomp, {
    url: `${base}/sockjs`, transports: choice(transport), token: site.token, topic: `/topic/devices/${site.device}`, sends, patience: PATIENCE_MS,
  });
  const wrong = wrongTransport(transport, seen);
  if (wrong) return wrong;
  const lost = difference(sends.map(({ headers }) => headers.receipt), seen.answers.map(([receipt]) => receipt), seen.end)
    ?? seen.answers.map(([, body], index) => (body.includes(`command ${index} \u{1f6eb} 주차장`) ? null : `answer ${index} is ${body}`)).find(Boolean);
  if (lost) return lost;
  if (!seen.live) return 'nothing live came from the topic';
  if (seen.version !== '1.2' || seen.end !== 'disconnected') return `STOMP ${seen.version}, the end: ${seen.end}`;
  return unseen({ ...transport, streams: undefined }, requests);
}
