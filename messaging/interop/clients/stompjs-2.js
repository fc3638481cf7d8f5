// stompjs 2.3.3, the library that many pages still have: text only, no escapes, no reconnect.

import Stomp from 'stompjs';
import WebSocket from 'ws';

import { obey, tell, without } from './adapter.js';

const [host, port] = process.argv.slice(2);
let client;

const report = ({ command, headers, body }) => tell(command, headers, body);

obey({
  CONNECT(headers) {
    const socket = new WebSocket(`ws://${host}:${port}/ws`, ['v10.stomp', 'v11.stomp']);
    // Besides the library's own handler, which it takes away when it disconnects.
    socket.on('close', () => tell('LOST'));
    client = Stomp.over(socket);
    [client.heartbeat.outgoing, client.heartbeat.incoming] = headers['heart-beat'].split(',').map(Number);
    client.onreceipt = report;
    client.onreceive = report;
    client.connect(without(headers, 'heart-beat'), report, (error) => {
      if (error.command) report(error);
    });
  },
  SUBSCRIBE: (headers) => client.subscribe(headers.destination, report, headers),
  UNSUBSCRIBE: ({ id }) => client.unsubscribe(id),
  SEND: (headers, body) => client.send(headers.destination, without(headers, 'destination'), body.toString()),
  BEGIN: ({ transaction }) => client.begin(transaction),
  COMMIT: ({ transaction }) => client.commit(transaction),
  ABORT: ({ transaction }) => client.abort(transaction),
  ACK: ({ 'message-id': id, subscription, ...more }) => client.ack(id, subscription, more),
  NACK: ({ 'message-id': id, subscription, ...more }) => client.nack(id, subscription, more),
  DISCONNECT: (headers) => client.disconnect(() => {}, without(headers)),
});
