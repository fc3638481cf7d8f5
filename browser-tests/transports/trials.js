// One cell of the matrix, tried: what a page does, and what must have come of it. Each returns null, or what went wrong.

import { SOCKET_IO, SOCKJS, STOMP } from './clients.js';
import * as inPage from './in-page.js';

/** Nothing here takes this long unless it never comes; half of it is what a client gives one transport. */
const PATIENCE_MS = 30_000;

/** What transports lose, cut or reorder when they are careless: line ends of JavaScript, pairs of surrogates, NUL and its like. */
const ODD = ['\u2028', '\u2029', '\u{1f6eb}\u{1f600}', '\0', '\u0001\b\t\n\f\r\u001b\u007f\u0085', '"\\/</script>', '\u200c\u200f\u2060\ufeff\ufff0\uffff', '주차장', ''];

/** 40 messages, together longer than the 4,096 bytes after which the echo service ends a stream. */
const MESSAGES = Array.from({ length: 40 }, (_, index) => `${index} ${ODD.slice(index % ODD.length).concat(ODD).join(' ')}`);
const AT_ONCE = 30;

/** Remembers the page's requests: what they ask for last in their path, or the transport they name, and with which headers. */
function watch(page) {
  const requests = [];
  const note = (text, headers) => {
    const url = new URL(text);
    requests.push({ last: url.searchParams.get('transport') ?? url.pathname.split('/').pop(), headers });
  };
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

/** What a device of the product refuses, with an answer that repeats the name of the command. */
const commands = () => MESSAGES.map((_, index) => ({ key: crypto.randomUUID(), name: `command ${index} \u{1f6eb} 주차장 \u2028\0` }));

/** The first answer that does not repeat the command of its number. */
function notRepeated(answers) {
  const at = answers.findIndex((answer, index) => !answer.includes(`command ${index} \u{1f6eb} 주차장`));
  return at < 0 ? null : `answer ${at} is ${answers[at]}`;
}

/** STOMP to the product. */
export async function tryStomp(page, transport, base, site) {
  const requests = watch(page);
  await load(page, transport, SOCKJS, STOMP);
  const sends = commands().map((command, index) => ({
    destination: `/app/devices/${site.device}/commands`,
    // NUL ends a frame for this client, and it trims what it reads.
    headers: { receipt: `<${MESSAGES[index].replaceAll('\0', '')}>` },
    body: JSON.stringify(command),
  }));
  const seen = await page.evaluate(inPage.stomp, {
    url: `${base}/sockjs`, transports: choice(transport), token: site.token, topic: `/topic/devices/${site.device}`, sends, patience: PATIENCE_MS,
  });
  const wrong = wrongTransport(transport, seen);
  if (wrong) return wrong;
  const lost = difference(sends.map(({ headers }) => headers.receipt), seen.answers.map(([receipt]) => receipt), seen.end)
    ?? notRepeated(seen.answers.map(([, body]) => body));
  if (lost) return lost;
  if (!seen.live) return 'nothing live came from the topic';
  if (seen.version !== '1.2' || seen.end !== 'disconnected') return `STOMP ${seen.version}, the end: ${seen.end}`;
  return unseen({ ...transport, streams: undefined }, requests);
}

/** Socket.IO to the product. */
export async function trySocketIo(page, { version, transports, ends, wire }, base, site) {
  const requests = watch(page);
  await page.evaluate(SOCKET_IO[version]());
  const sends = commands().map((body) => ({ destination: `/app/devices/${site.device}/commands`, body }));
  const seen = await page.evaluate(inPage.socketIo, {
    url: base, version, transports, ends, token: site.token, topic: `/topic/devices/${site.device}`, sends, patience: PATIENCE_MS,
  });
  if (seen.transport !== ends) return `connected by ${seen.transport}, not by ${ends}; the end: ${seen.end}`;
  if (!seen.subscribed?.ok) return `not subscribed: ${JSON.stringify(seen.subscribed)}`;
  if (seen.answers.length !== sends.length) return `${seen.answers.length} of ${sends.length} answers came; the end: ${seen.end}`;
  const wrong = notRepeated(seen.answers.map(({ ok, message }) => `${ok} ${message}`));
  if (wrong) return wrong;
  if (!seen.live) return 'nothing live came from the topic';
  if (seen.end !== 'io client disconnect') return `the end: ${seen.end}`;
  return unseen({ wire }, requests);
}
