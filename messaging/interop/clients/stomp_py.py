"""stomp.py in the version that is its first argument. Lines in and out: see client.js."""

import base64
import re
import sys
import threading

import stomp

CONNECTIONS = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}
MEANT = {r"\\": "\\", r"\r": "\r", r"\n": "\n", r"\c": ":"}
WRITTEN = {plain: escape for escape, plain in MEANT.items()}

version, host, port = sys.argv[1:]
lock = threading.Lock()


def tell(command, headers, body=b""):
    """Tells what the library told its user."""
    escape = str if command == "CONNECTED" else lambda text: re.sub(r"[\\\r\n:]", lambda octet: WRITTEN[octet[0]], text)
    lines = "".join(f"{escape(name)}:{escape(value)}\n" for name, value in headers.items() if name != "content-length")
    frame = f"{command}\n{lines}content-length:{len(body)}\n\n".encode() + body + b"\0"
    with lock:
        print(base64.b64encode(frame).decode(), flush=True)


def parse(line):
    """A line's command, headers and body."""
    head, _, rest = base64.b64decode(line).partition(b"\n\n")
    command, *lines = head.decode().split("\n")
    meant = str if command == "CONNECT" else lambda text: re.sub(r"\\.", lambda escape: MEANT[escape[0]], text)
    headers = {meant(name): meant(value) for name, value in (line.split(":", 1) for line in lines)}
    return command, headers, rest[: int(headers.pop("content-length"))]


class Listener(stomp.ConnectionListener):
    """Whatever comes, as it comes."""

    def on_connected(self, frame):
        tell("CONNECTED", frame.headers)

    def on_message(self, frame):
        tell("MESSAGE", frame.headers, frame.body)

    def on_receipt(self, frame):
        tell("RECEIPT", frame.headers)

    def on_error(self, frame):
        tell("ERROR", frame.headers, frame.body)

    def on_receiver_loop_completed(self, frame):
        # Not on_disconnected, which comes before on_receipt of a DISCONNECT.
        tell("LOST", {})


def connect(headers):
    """A new connection, without the library's own attempts to do it again."""
    settings = {"auto_decode": False, "reconnect_attempts_max": 1}
    beats = tuple(int(beat) for beat in headers.pop("heart-beat").split(","))
    if version != "1.0":
        settings["heartbeats"] = beats
    connection = CONNECTIONS[version]([(host, int(port))], **settings)
    connection.set_listener("interop", Listener())
    connection.connect(headers.pop("login"), headers.pop("passcode"), headers=headers)
    return connection


def answer(method, headers):
    """ACK or NACK as the version's own method takes it."""
    transaction = headers.get("transaction")
    if version == "1.2":
        method(headers["id"], transaction=transaction)
    elif version == "1.1":
        method(headers["message-id"], headers["subscription"], transaction=transaction)
    else:
        method(headers["message-id"], transaction=transaction)


def obey(connection, command, headers, body):
    """Does what a line says with the library's own calls."""
    if command == "SEND":
        connection.send(headers.pop("destination"), body, headers=headers)
    elif command == "SUBSCRIBE":
        connection.subscribe(headers.pop("destination"), headers.pop("id"), headers.pop("ack"), headers=headers)
    elif command == "UNSUBSCRIBE":
        # An empty id stands for none, which 1.0 allows.
        named = {"id": headers["id"]} if headers["id"] else {"destination": headers["destination"]}
        connection.unsubscribe(**named)
    elif command in ("ACK", "NACK"):
        answer(getattr(connection, command.lower()), headers)
    elif command in ("BEGIN", "COMMIT", "ABORT"):
        getattr(connection, command.lower())(headers["transaction"])
    elif command == "DISCONNECT":
        connection.disconnect(headers.get("receipt"))
    else:
        raise ValueError(command)


def main():
    connection = None
    for line in sys.stdin:
        command, headers, body = parse(line)
        if command == "CONNECT":
            connection = connect(headers)
        else:
            obey(connection, command, headers, body)


main()
