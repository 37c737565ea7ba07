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


class Broker:
    """One process on a port of its own, with its files in a folder."""

    kind = None
    has_users = True

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        (self.port,) = harness.free_ports(1)
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

    def target(self, name, password=PASSWORD, more=""):
        lines = f'[[events.target]]\nname = "{name}"\nkind = "{self.kind}"\n{self.place()}'
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
    subject = "objects.events"

    def command(self):
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{self.folder}/streams" }}\n'
            f'authorization {{ user: "{USER}", password: "{PASSWORD}" }}\n'
        )
        return [program("nats-server"), "-c", config]

    def place(self):
        return f'url = "nats://127.0.0.1:{self.port}"\nsubject = "{self.subject}"\n'

    def ask(self, work):
        """What a client that is connected for it makes of a stream's context."""

        async def asked():
            url = f"nats://127.0.0.1:{self.port}"
            client = await nats.connect(
                url, user=USER, password=PASSWORD, allow_reconnect=False, connect_timeout=10
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
    topic = "objects/events"

    def command(self):
        passwords = self.folder / "passwords"
        if not passwords.exists():
            made = [program("mosquitto_passwd"), "-b", "-c", passwords, USER, PASSWORD]
            subprocess.run(made, check=True, capture_output=True)
        passwords.chmod(0o644)
        self.folder.chmod(0o777)
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\n"
            f"password_file {passwords}\n"
            f"persistence true\npersistence_location {self.folder}/\nmax_queued_messages 0\n"
            f"user root\n"
        )
        return [program("mosquitto"), "-c", config]

    def place(self):
        return f'url = "mqtt://127.0.0.1:{self.port}"\ntopic = "{self.topic}"\n'

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
    protocol, without passwords, and in memory alone, so that it is halted and not ended."""

    kind = "kafka"
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
        return self

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def place(self):
        return f'url = "kafka://127.0.0.1:{self.port}"\ntopic = "{self.topic}"\n'

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
        super().close()
