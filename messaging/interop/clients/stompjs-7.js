// @stomp/stompjs 7: reconnects by itself; what was subscribed to is subscribed to again in onConnect, as its manual says.

import { isUtf8 } from 'node:buffer';

import { Client } from '@stomp/stompjs';
import WebSocket from 'ws';

import { obey, tell, without } from './adapter.js';

Object.assign(globalThis, { WebSocket });

const [host, port] = process.argv.slice(2);
let client;
/** Headers of SUBSCRIBE by id, with the position of the last message. */
let subscriptions;

const report = ({ command, headers, binaryBody }) => tell(command, headers, binaryBody);

function subscribe(headers) {
  client.subscribe(headers.destination, (message) => {
    report(message);
    headers['x-resume-from'] = message.headers['message-id'];
  }, headers);
}

obey({
  CONNECT(headers) {
    const [outgoing, incoming] = headers['heart-beat'].split(',').map(Number);
    subscriptions = new Map();
    client = new Client({
      brokerURL: `ws://${host}:${port}/ws`,
      connectHeaders: without(headers, 'heart-beat'),
      heartbeatOutgoing: outgoing,
      heartbeatIncoming: incoming,
      reconnectDelay: 200,
      onConnect(frame) {
        for (const again of subscriptions.values()) subscribe(again);
        report(frame);
      },
      onStompError(frame) {
        client.deactivate();
        report(frame);
      },
      onDisconnect: report,
      onUnhandledMessage: report,
      onUnhandledReceipt: report,
      onWebSocketClose: () => tell('LOST'),
    });
    client.activate();
  },
  SUBSCRIBE(headers) {
    subscriptions.set(headers.id, headers);
    subscribe(headers);
  },
  UNSUBSCRIBE(headers) {
    subscriptions.delete(headers.id);
    client.unsubscribe(headers.id);
  },
  SEND(headers, body) {
    const content = isUtf8(body) ? { body: body.toString() } : { binaryBody: new Uint8Array(body) };
    client.publish({ destination: headers.destination, headers: without(headers, 'destination'), ...content });
  },
  BEGIN: ({ transaction }) => client.begin(transaction),
  COMMIT: ({ transaction }) => client.commit(transaction),
  ABORT: ({ transaction }) => client.abort(transaction),
  ACK: ({ id, ...more }) => client.ack(id, 'sub', more),
  NACK: ({ id, ...more }) => client.nack(id, 'sub', more),
  DISCONNECT: () => client.deactivate(),
});
