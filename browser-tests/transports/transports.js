// The transports of sockjs-client 1.6, and what shows on the wire that one of them was really used.

const OWN_ORIGIN_ONLY = 'the client takes htmlfile for a server of the page\'s own origin only; for others it has iframe-htmlfile';

/**
 * `wire`: the last parts of the URLs that its requests go to. `streams`: the one of them whose answers end at the server's limit,
 * so that it is asked again. `not`: origins that it is not for.
 */
export const TRANSPORTS = [
  { name: 'websocket', wire: ['websocket'] },
  { name: 'xhr-streaming', wire: ['xhr_streaming', 'xhr_send'], streams: 'xhr_streaming' },
  { name: 'xdr-streaming', wire: ['xhr_streaming', 'xhr_send'], streams: 'xhr_streaming', shim: true },
  { name: 'eventsource', wire: ['eventsource', 'xhr_send'], streams: 'eventsource' },
  { name: 'htmlfile', wire: ['htmlfile', 'xhr_send'], streams: 'htmlfile', not: { cross: OWN_ORIGIN_ONLY } },
  { name: 'xhr-polling', wire: ['xhr', 'xhr_send'] },
  { name: 'xdr-polling', wire: ['xhr', 'xhr_send'], shim: true },
  { name: 'jsonp-polling', wire: ['jsonp', 'jsonp_send'] },
  { name: 'iframe-eventsource', wire: ['iframe.html', 'eventsource', 'xhr_send'], streams: 'eventsource' },
  { name: 'iframe-htmlfile', wire: ['iframe.html', 'htmlfile', 'xhr_send'], streams: 'htmlfile' },
  { name: 'iframe-xhr-polling', wire: ['iframe.html', 'xhr', 'xhr_send'] },
  // Nothing is chosen for it: what a page gets whose browser has no WebSocket.
  { name: 'by itself, without window.WebSocket', chosen: 'xhr-streaming', wire: ['xhr_streaming', 'xhr_send'], streams: 'xhr_streaming' },
];

/** How socket.io-client is told to connect; `ends` is what it must use at last. */
export const SOCKET_IO = [4, 2].flatMap((version) => [
  { name: `socket.io-client ${version}, polling`, version, transports: ['polling'], wire: ['polling'], ends: 'polling' },
  { name: `socket.io-client ${version}, websocket`, version, transports: ['websocket'], wire: ['websocket'], ends: 'websocket' },
  { name: `socket.io-client ${version}, from polling to websocket`, version, transports: ['polling', 'websocket'], wire: ['polling', 'websocket'], ends: 'websocket' },
]);
