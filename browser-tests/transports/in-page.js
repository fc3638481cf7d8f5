// What runs inside the page. Each function is handed to the browser as text: it sees its arguments and the page, nothing else.

/** Before the client is loaded, which looks at once for what the browser has. */
export function prepare({ shim, chosen }) {
  if (chosen) delete window.WebSocket;
  if (!shim) return;
  // Internet Explorer's: no headers, no content type, no cookies; text and progress.
  window.XDomainRequest = function XDomainRequest() {
    const request = new XMLHttpRequest();
    this.responseText = '';
    const say = (event) => {
      this.responseText = request.responseText;
      if (this[event]) this[event]();
    };
    request.onprogress = () => say('onprogress');
    request.onload = () => say(request.status === 200 || request.status === 204 ? 'onload' : 'onerror');
    request.onerror = () => say('onerror');
    request.ontimeout = () => say('ontimeout');
    this.open = (method, url) => request.open(method, url);
    this.send = (body) => request.send(body ? new Blob([body]) : null);
    this.abort = () => request.abort();
  };
}

/** Sends `atOnce` without waiting and `inTurn` each after the echo of what was before it; resolves with what came, and how it ended. */
export function echo({ url, transports, atOnce, inTurn, patience }) {
  return new Promise((resolve) => {
    const seen = { heard: [] };
    const socket = new window.SockJS(url, null, { transports, timeout: patience / 2 });
    const giveUp = setTimeout(() => resolve({ ...seen, end: 'nothing more came' }), patience);
    socket.onopen = () => {
      seen.transport = socket.transport;
      for (const message of atOnce) socket.send(message);
    };
    socket.onmessage = ({ data }) => {
      seen.heard.push(data);
      const next = seen.heard.length - atOnce.length;
      if (next === inTurn.length) socket.close();
      else if (next >= 0) socket.send(inTurn[next]);
    };
    socket.onclose = ({ code, reason, wasClean }) => {
      clearTimeout(giveUp);
      resolve({ ...seen, end: `${code} ${reason}${wasClean ? '' : ', not clean'}` });
    };
  });
}

/**
 * A STOMP session over SockJS: signs in with a token, asks for answers and for `topic`, and SENDs what the server refuses with
 * an answer that repeats it. Resolves with the answers, and whether something came from the topic.
 */
export function stomp({ url, transports, token, topic, sends, patience }) {
  return new Promise((resolve) => {
    const seen = { answers: [], live: false };
    const finish = (end) => {
      clearTimeout(giveUp);
      resolve({ ...seen, end });
    };
    const giveUp = setTimeout(() => finish('nothing more came'), patience);
    const client = window.Stomp.over(() => {
      const socket = new window.SockJS(url, null, { transports, timeout: patience / 2 });
      socket.addEventListener('open', () => { seen.transport = socket.transport; });
      return socket;
    });
    client.debug = () => {};
    let leaving = false;
    const look = () => {
      if (leaving || !seen.live || seen.answers.length < sends.length) return;
      leaving = true;
      client.disconnect(() => finish('disconnected'));
    };
    const connected = ({ headers }) => {
      seen.version = headers.version;
      client.subscribe('/user/queue/errors', (message) => {
        seen.answers.push([message.headers['receipt-id'], message.body]);
        look();
      }, { id: 'errors' });
      client.onreceipt = () => {
        for (const { destination, headers, body } of sends) client.send(destination, headers, body);
      };
      client.subscribe(topic, (message) => {
        seen.live = seen.live || (message.headers.destination === topic && message.body.length > 0);
        look();
      }, { id: 'topic', receipt: 'subscribed' });
    };
    const failed = (what) => finish(what.headers ? `ERROR ${what.headers.message}` : `lost: ${what.reason ?? what}`);
    client.connect({ Authorization: `Bearer ${token}`, host: 'landside' }, connected, failed, failed);
  });
}

/** The same over Socket.IO, by the events of docs/clients: what is refused is told in the acknowledgement. */
export function socketIo({ url, version, transports, ends, token, topic, sends, patience }) {
  return new Promise((resolve) => {
    const seen = { answers: [], live: false };
    const finish = (end) => {
      clearTimeout(giveUp);
      resolve({ ...seen, end });
    };
    const giveUp = setTimeout(() => finish('nothing more came'), patience);
    const socket = window.io(url, { transports, reconnection: false, ...(version === 2 ? { query: { token } } : { auth: { token } }) });
    const look = () => {
      seen.transport = socket.io.engine.transport.name;
      if (seen.live && seen.answers.length === sends.length && seen.transport === ends) socket.close();
    };
    socket.on('connect', () => {
      socket.emit('subscribe', { destination: topic }, (answer) => {
        seen.subscribed = answer;
        for (const send of sends) {
          socket.emit('send', send, (refused) => {
            seen.answers.push(refused);
            look();
          });
        }
      });
    });
    socket.on('message', ({ destination, body }) => {
      // JSON comes as what it says.
      seen.live = seen.live || (destination === topic && typeof body === 'object');
      look();
    });
    socket.on('connect_error', (error) => finish(`no connection: ${error.message}`));
    socket.on('error', (error) => finish(`error: ${JSON.stringify(error)}`));
    socket.on('disconnect', (reason) => finish(reason));
  });
}
