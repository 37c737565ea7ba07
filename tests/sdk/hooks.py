"""A webhook for the suites, how buckets are made to tell it what happens, and whether it
hears all of it in order."""

import http.server
import json
import threading
import time

import harness

ALL = ["ObjectCreated:*", "ObjectRemoved:*", "ObjectTagging:*", "ObjectAcl:Put"]


class Hook:
    """A webhook that keeps what it is told, and does as it is told."""

    def __init__(self):
        self.requests = []
        self.status = 200
        self.delay_s = 0
        # Takes the message, but leaves the sender in doubt about it, so often.
        self.doubts = 0
        self.lock = threading.Lock()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(hook.delay_s)
                with hook.lock:
                    status = hook.status
                    if status == 200:
                        headers = {name.lower(): value for name, value in self.headers.items()}
                        hook.requests.append((headers, json.loads(body)))
                        if hook.doubts:
                            hook.doubts -= 1
                            self.close_connection = True
                            return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                """Clients that were killed."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self):
        return f"http://127.0.0.1:{self.port}/events"

    def records(self):
        with self.lock:
            found = [body for _, body in self.requests if body.get("Records")]
        assert all(len(body["Records"]) == 1 for body in found)
        return [body["Records"][0] for body in found]

    def tests(self):
        with self.lock:
            return [body for _, body in self.requests if "Records" not in body]

    def wait_for(self, count, bucket=None, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = [r for r in self.records() if bucket in (None, bucket_of(r))]
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{len(found)} of {count} events came")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def bucket_of(record):
    """Whichever form it has."""
    if "s3" in record:
        return record["s3"]["bucket"]["name"]
    of = record["cos"]["cosBucket"]
    return f"{of['name']}-{of['appid']}"


def target(name, url, more=""):
    return f'[[events.target]]\nname = "{name}"\nkind = "webhook"\nurl = "{url}"\n{more}\n'


def started(folder, targets):
    """A server with these targets."""
    config = folder / "costrel.toml"
    config.write_text("".join(targets))
    server = harness.new_server(args=["--config", str(config)]).start()
    server.announce("an event was not taken")
    return server


def arn(name, service="sqs"):
    name = f"function:{name}" if service == "lambda" else name
    return f"arn:aws:{service}:{harness.REGION}:{harness.OWNER_UIN}:{name}"


def queue(name, events, prefix=None, suffix=None, **more):
    rules = [
        {"Name": which, "Value": value}
        for which, value in (("prefix", prefix), ("suffix", suffix))
        if value is not None
    ]
    found = {"QueueArn": arn(name), "Events": [f"s3:{event}" for event in events], **more}
    return {**found, "Filter": {"Key": {"FilterRules": rules}}} if rules else found


def tell(aws, bucket, *queues, **more):
    aws.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": list(queues)}, **more
    )


def in_order(records):
    """Sequencers by key, repetitions taken for one; none may come after a later one."""
    keys = {}
    for record in records:
        seen = keys.setdefault(record["s3"]["object"]["key"], [])
        sequencer = record["s3"]["object"]["sequencer"]
        if seen and seen[-1] == sequencer:
            continue
        assert not seen or sequencer > seen[-1], record
        seen.append(sequencer)
    return keys


def settle(hook, wanted, seconds=120):
    """Waits until so many different events have come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        keys = in_order(hook.records())
        if sum(map(len, keys.values())) >= wanted:
            return keys
        time.sleep(0.05)
    raise AssertionError(f"{sum(map(len, keys.values()))} of {wanted} events came")
