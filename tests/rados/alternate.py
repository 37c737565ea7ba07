"""Sends the requests of each client to several servers in turn.

Bytes pass as they are: the suites judge the server's spelling of headers. Only where
a request or an answer ends is looked at.
"""

import contextlib
import itertools
import re
import socket
import threading

PIECE = 256 << 10


class Stream:
    """A socket read by lines, lengths or chunks; what was read is passed on."""

    def __init__(self, connection):
        self.socket = connection
        self.buffer = b""

    def fill(self):
        piece = self.socket.recv(PIECE)
        self.buffer += piece
        return bool(piece)

    def head(self):
        """Up to the empty line, or None at the end."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                return None
        end = self.buffer.index(b"\r\n\r\n") + 4
        head, self.buffer = self.buffer[:end], self.buffer[end:]
        return head

    def pass_length(self, to, length):
        while length:
            if not self.buffer and not self.fill():
                raise ConnectionError("the body broke off")
            piece, self.buffer = self.buffer[:length], self.buffer[length:]
            to.sendall(piece)
            length -= len(piece)

    def line(self):
        while b"\r\n" not in self.buffer:
            if not self.fill():
                raise ConnectionError("a chunk broke off")
        end = self.buffer.index(b"\r\n") + 2
        line, self.buffer = self.buffer[:end], self.buffer[end:]
        return line

    def pass_chunks(self, to):
        while True:
            line = self.line()
            to.sendall(line)
            length = int(line.split(b";")[0], 16)
            if length == 0:
                break
            self.pass_length(to, length + 2)
        while line != b"\r\n":
            line = self.line()
            to.sendall(line)

    def pass_rest(self, to):
        to.sendall(self.buffer)
        self.buffer = b""
        while self.fill():
            to.sendall(self.buffer)
            self.buffer = b""


def field(head, name):
    match = re.search(rb"\r\n" + name + rb":[ \t]*([^\r\n]*?)[ \t]*\r\n", head, re.IGNORECASE)
    return match and match[1].lower()


def pass_body(source, to, head):
    if field(head, b"transfer-encoding") == b"chunked":
        source.pass_chunks(to)
    else:
        source.pass_length(to, int(field(head, b"content-length") or 0))


class Alternate:
    def __init__(self, ports):
        self.ports = ports
        self.turns = itertools.cycle(ports)
        # Requests that a server took and did not answer, by their first lines.
        self.unanswered = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        servers = {}
        try:
            source = Stream(client)
            while (head := source.head()) is not None:
                port = next(self.turns)
                if port not in servers:
                    servers[port] = Stream(socket.create_connection(("127.0.0.1", port)))
                    servers[port].socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    goes_on = self._exchange(source, servers[port], head)
                except OSError as failure:
                    self.unanswered.append((port, head.split(b"\r\n")[0], repr(failure)))
                    raise
                if not goes_on:
                    break
        except (OSError, ValueError):
            pass
        finally:
            for stream in [Stream(client), *servers.values()]:
                with contextlib.suppress(OSError):
                    stream.socket.shutdown(socket.SHUT_RDWR)
                stream.socket.close()

    def _exchange(self, source, server, head):
        """One request and its answer; whether the connection goes on."""
        server.socket.sendall(head)
        sent = threading.Event()

        def send():
            with contextlib.suppress(OSError, ValueError):
                pass_body(source, server.socket, head)
                sent.set()

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        client = source.socket
        while True:
            answer = server.head()
            if answer is None:
                raise ConnectionError("closed without an answer")
            status = int(answer.split(b" ", 2)[1])
            client.sendall(answer)
            if status >= 200:
                break
        bare = head.startswith(b"HEAD ") or status in (204, 304)
        if not bare:
            framed = field(answer, b"content-length") or field(answer, b"transfer-encoding")
            if not framed:
                server.pass_rest(client)
                return False
            pass_body(server, client, answer)
        if field(answer, b"connection") == b"close" or field(head, b"connection") == b"close":
            return False
        # An answer before the end of the body: the server reads the rest or closes.
        sender.join(30)
        return sent.is_set()
