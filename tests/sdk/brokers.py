"""Brokers that the suites start for themselves, each with a client of its makers that reads
all that a broker was sent.

All have the same shape: `start`, `stop`, `target` (what the server's file says of it) and
`read` (every message so far, in the order in which the broker gives them out).
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse

import nats
import paho.mqtt.client as paho
from confluent_kafka import Consumer, TopicPartition
from nats.errors import Error as NatsError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import harness

START_S = 60
USER, PASSWORD = "costrel", "sesame"


def program(name):
    """Debian keeps servers where users do not look."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert path, f"{name} is not installed"
    return path


class Tls:
    """What a broker shows: a certificate of `authority` for 127.0.0.1 and no other name. It
    serves whoever has one of `clients`."""

    def __init__(self, authority, clients):
        self.authority, self.clients = authority, clients
        self.cert, self.key = authority.issue("broker", "IP:127.0.0.1")

    def of_reader(self):
        context = ssl.create_default_context(cafile=self.authority.file)
        context.load_cert_chain(*self.clients.issue("reader", "DNS:reader"))
        return context

    def of_server(self):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.clients.file)
        context.load_cert_chain(self.cert, self.key)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


class Broker:
    """One process on a port of its own, with its files in a folder; with `tls` on another
    port, too, or on its only one."""

    kind = None
    has_users = True

    def __init__(self, folder, tls=None):
        self.folder, self.tls = folder, tls
        folder.mkdir(parents=True)
        self.port, self.tls_port = harness.free_ports(2)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=open(self.folder / "log", "ab"),
            stderr=subprocess.STDOUT,
            preexec_fn=harness._die_with_parent,
        )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(START_S)

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def target(self, name, password=PASSWORD, more="", host="127.0.0.1"):
        scheme, port = (self.schemes[1], self.tls_port) if self.tls else (self.schemes[0], self.port)
        lines = f'[[events.target]]\nname = "{name}"\nkind = "{self.kind}"\n{self.place()}'
        lines += f'url = "{scheme}://{host}:{port}"\n'
        if self.has_users:
            self.set_password(name, password)
            lines += f'user = "{USER}"\npassword_file = "{self.secret(name)}"\n'
        return f'{lines}timeout = "2s"\n{more}\n'

    def secret(self, target):
        return self.folder / f"{target}.secret"

    def set_password(self, target, password):
        self.secret(target).write_text(f"{password}\n")


class Nats(Broker):
    kind = "nats"
    schemes = "nats", "tls"
    subject = "objects.events"

    def command(self):
        config = self.folder / "nats.conf"
        lines = (
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{self.folder}/streams" }}\n'
            f'authorization {{ user: "{USER}", password: "{PASSWORD}" }}\n'
        )
        if self.tls:
            self.tls_port = self.port
            lines += (
                f'tls {{ cert_file: "{self.tls.cert}", key_file: "{self.tls.key}", '
                f'ca_file: "{self.tls.clients.file}", verify: true }}\n'
            )
        config.write_text(lines)
        return [program("nats-server"), "-c", config]

    def place(self):
        return f'subject = "{self.subject}"\n'

    def ask(self, work):
        """What a client that is connected for it makes of a stream's context."""

        async def asked():
            more = {"tls": self.tls.of_reader()} if self.tls else {}
            client = await nats.connect(
                f"{self.schemes[bool(self.tls)]}://127.0.0.1:{self.port}",
                user=USER,
                password=PASSWORD,
                allow_reconnect=False,
                connect_timeout=10,
                **more,
            )
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(asked())

    def make(self):
        self.ask(lambda stream: stream.add_stream(name="EVENTS", subjects=[self.subject]))

    def read(self):
        async def all_of(stream):
            with contextlib.suppress(NatsError):
                state = (await stream.stream_info("EVENTS")).state
                numbers = range(state.first_seq, state.last_seq + 1) if state.messages else []
                return [json.loads((await stream.get_msg("EVENTS", n)).data) for n in numbers]
            return []

        return self.ask(all_of)


class Mosquitto(Broker):
    kind = "mqtt"
    schemes = "mqtt", "mqtts"
    topic = "objects/events"

    def command(self):
        passwords = self.folder / "passwords"
        if not passwords.exists():
            made = [program("mosquitto_passwd"), "-b", "-c", passwords, USER, PASSWORD]
            subprocess.run(made, check=True, capture_output=True)
        passwords.chmod(0o644)
        self.folder.chmod(0o777)
        config = self.folder / "mosquitto.conf"
        lines = (
            f"allow_anonymous false\npassword_file {passwords}\n"
            f"persistence true\npersistence_location {self.folder}/\nmax_queued_messages 0\n"
            f"user root\nlistener {self.port} 127.0.0.1\n"
        )
        if self.tls:
            lines += (
                f"listener {self.tls_port} 127.0.0.1\ncafile {self.tls.clients.file}\n"
                f"certfile {self.tls.cert}\nkeyfile {self.tls.key}\nrequire_certificate true\n"
            )
        config.write_text(lines)
        return [program("mosquitto"), "-c", config]

    def place(self):
        return f'topic = "{self.topic}"\n'

    def make(self):
        """A session that outlives connections: what comes meanwhile waits for it."""
        self.got, self.lock, ready = [], threading.Lock(), threading.Event()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, "reader", protocol=paho.MQTTv5
        )
        self.client.username_pw_set(USER, PASSWORD)
        self.client.reconnect_delay_set(1, 1)

        def take(_client, _data, message):
            with self.lock:
                self.got.append(json.loads(message.payload))

        self.client.on_message = take
        self.client.on_connect = lambda client, *_: client.subscribe(self.topic, qos=1)
        self.client.on_subscribe = lambda *_: ready.set()
        lasting = Properties(PacketTypes.CONNECT)
        lasting.SessionExpiryInterval = 3600
        self.client.connect("127.0.0.1", self.port, clean_start=False, properties=lasting)
        self.client.loop_start()
        assert ready.wait(START_S)

    def read(self):
        with self.lock:
            return list(self.got)

    def close(self):
        if hasattr(self, "client"):
            self.client.disconnect()
            self.client.loop_stop()
        super().close()


class Kafka(Broker):
    """The broker that librdkafka has for tests of its own, in a process of its own: Kafka's
    protocol, without passwords, and in memory alone, so that it is halted and not ended. With
    TLS it is reached by way of a proxy that has it, and says that it is there."""

    kind = "kafka"
    schemes = "kafka", "kafkas"
    has_users = False
    topic = "objects-events"

    def command(self):
        return [sys.executable, os.path.join(os.path.dirname(__file__), "kafka_broker.py")]

    def start(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            return self
        self.process = subprocess.Popen(
            self.command(),
            stdout=subprocess.PIPE,
            stderr=open(self.folder / "log", "ab"),
            text=True,
            preexec_fn=harness._die_with_parent,
        )
        self.port = int(self.process.stdout.readline())
        if self.tls:
            self.proxy = KafkaProxy(self.port, self.tls_port, self.tls.of_server())
        return self

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def place(self):
        return f'topic = "{self.topic}"\n'

    def make(self):
        settings = {"bootstrap.servers": f"127.0.0.1:{self.port}", "group.id": "reader"}
        self.consumer = Consumer({**settings, "allow.auto.create.topics": True})
        self.got, self.offsets = [], {}
        # Asked for a topic, it makes it.
        partitions = self.consumer.list_topics(self.topic, START_S).topics[self.topic].partitions
        self.offsets = dict.fromkeys(partitions, 0)
        assert len(self.offsets) > 1

    def read(self):
        places = [TopicPartition(self.topic, n, at) for n, at in self.offsets.items()]
        ends = {at.partition: self.consumer.get_watermark_offsets(at, 10)[1] for at in places}
        self.consumer.assign(places)
        deadline = time.monotonic() + START_S
        while any(self.offsets[number] < end for number, end in ends.items()):
            assert time.monotonic() < deadline
            message = self.consumer.poll(0.1)
            if message is None or message.error():
                continue
            body = json.loads(message.value())
            if "Records" in body:
                # An object's events have one key, and so one partition.
                of = body["Records"][0]["s3"]
                key = urllib.parse.unquote_plus(of["object"]["key"])
                assert message.key().decode() == f"{of['bucket']['name']}/{key}"
            self.got.append(body)
            self.offsets[message.partition()] = message.offset() + 1
        return list(self.got)

    def close(self):
        if hasattr(self, "consumer"):
            self.consumer.close()
        if hasattr(self, "proxy"):
            self.proxy.close()
        super().close()


class KafkaProxy:
    """Takes TLS off connections to a broker, and puts its own port for the broker's into what
    that says of itself."""

    def __init__(self, port, tls_port, context):
        self.port, self.context = port, context
        host = b"127.0.0.1"
        self.said = host + struct.pack(">i", port), host + struct.pack(">i", tls_port)
        self.listener = socket.create_server(("127.0.0.1", tls_port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, plain):
        # Those that are refused break off.
        with contextlib.suppress(OSError), self.context.wrap_socket(plain, server_side=True) as client:
            with socket.create_connection(("127.0.0.1", self.port)) as broker:
                asks = threading.Thread(target=self.ask, args=[client, broker], daemon=True)
                asks.start()
                self.answer(broker, client)

    def ask(self, client, broker):
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                broker.sendall(data)
            broker.shutdown(socket.SHUT_WR)

    def answer(self, broker, client):
        with broker.makefile("rb") as answers:
            while length := answers.read(4):
                answer = answers.read(int.from_bytes(length, "big"))
                client.sendall(length + answer.replace(*self.said))

    def close(self):
        self.listener.close()
