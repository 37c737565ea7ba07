"""A process with the broker that librdkafka has for its own tests. It says its port, and
serves until it is killed."""

import signal

from confluent_kafka import Producer

START_S = 30

broker = Producer({"test.mock.num.brokers": 1})
((_, found),) = broker.list_topics(timeout=START_S).brokers.items()
print(found.port, flush=True)
signal.pause()
