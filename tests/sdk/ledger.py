"""What clients know of the requests that they have sent and of the objects that they have
stored, to be compared with what the server says of them."""

import collections
import time
from dataclasses import dataclass

import requests
from botocore.exceptions import BotoCoreError, ClientError
from qcloud_cos import CosClientError, CosServiceError

from cosclient import make_client
from s3client import s3


@dataclass
class Sent:
    """A request that was answered."""

    bucket: str
    key: str
    method: str
    status: int
    # Bytes of bodies.
    sent: int
    received: int
    # Of the object that it was about, as far as the answer says that; else STANDARD.
    storage_class: str
    # Whether what was received is an object's content.
    is_content: bool
    # Speed and bytes of the restore that it began.
    restored: tuple
    ended: float


class Unanswered(Exception):
    """The connection broke."""


class Ledger:
    """A cos-python-sdk-v5 and a boto3 client that write down what they do."""

    def __init__(self, server):
        # By the ids of their answers.
        self.known = {}
        # Bucket, key and bytes of the requests that had no answer.
        self.unanswered = []
        # Size and class of what is stored, by bucket and key.
        self.stored = {}
        # The same of the parts of open uploads, by bucket and upload.
        self.parts = {}
        self._answers = []
        session = requests.Session()
        session.hooks["response"].append(self._heard_by_cos)
        self.cos = make_client(server)
        self.cos_stranger = make_client(server, secret_key="not-the-key-of-this-id")
        self.cos._session = self.cos_stranger._session = session
        self.aws = s3(server, style="path")
        self.aws_stranger = s3(server, style="path", secret_key="not-the-key-of-this-id")
        for client in (self.aws, self.aws_stranger):
            client.meta.events.register("before-send.s3", self._about_to_send)
            client.meta.events.register("after-call.s3", self._heard_by_aws)

    def call(self, method, bucket, key="", storage_class="STANDARD", expect=200, content=False,
             restored=None, **arguments):
        """Calls a client's method, which is to have one answer of this status."""
        self._answers = []
        if key:
            arguments["Key"] = key
        result = refusal = None
        try:
            result = method(Bucket=bucket, **arguments)
        except (CosServiceError, ClientError) as error:
            refusal = error
        except (CosClientError, BotoCoreError, requests.RequestException) as failure:
            body = arguments.get("Body", b"")
            self.unanswered.append((bucket, key, len(body)))
            raise Unanswered from failure
        ((id_, verb, status, sent, received),) = self._answers
        assert status == expect, (method, bucket, key, status, refusal)
        assert id_ not in self.known
        self.known[id_] = Sent(
            bucket, key, verb, status, sent, received, storage_class, content, restored,
            time.monotonic(),
        )
        return result

    def put(self, method, bucket, key, body, storage_class="STANDARD", **arguments):
        self.call(method, bucket, key, storage_class, Body=body, StorageClass=storage_class,
                  **arguments)
        self.stored[bucket, key] = len(body), storage_class

    def get(self, method, bucket, key, content_bytes=None, expect=200, **arguments):
        size, storage_class = self.stored[bucket, key]
        self.call(method, bucket, key, storage_class, expect, content=True, **arguments)
        received = list(self.known.values())[-1].received
        assert received == (size if content_bytes is None else content_bytes)

    def delete(self, method, bucket, key):
        self.call(method, bucket, key, expect=204)
        del self.stored[bucket, key]

    def of(self, bucket):
        return {id_: sent for id_, sent in self.known.items() if sent.bucket == bucket}

    def _heard_by_cos(self, response, **_):
        request = response.request
        sent = int(request.headers.get("Content-Length") or 0)
        id_ = response.headers["x-cos-request-id"]
        answer = id_, request.method, response.status_code, sent, len(response.content)
        self._answers.append(answer)

    def _about_to_send(self, request, **_):
        # Or nobody here knows whether the body of what is refused was sent.
        request.headers.pop("Expect", None)
        self._sending = request.method, int(request.headers.get("Content-Length") or 0)

    def _heard_by_aws(self, http_response, parsed, model, **_):
        metadata = parsed["ResponseMetadata"]
        if model.has_streaming_output and "Body" in parsed:
            received = len(parsed["Body"].read())
        else:
            received = len(http_response.content)
        answer = metadata["RequestId"], self._sending[0], metadata["HTTPStatusCode"]
        self._answers.append((*answer, self._sending[1], received))


def figures(sent):
    """What requests come to, by what they have in common."""
    sums = collections.Counter()
    for one in sent:
        kind = "read" if one.method in ("GET", "HEAD") else "write"
        sums.update([kind, (kind, one.storage_class), one.status, f"{one.status // 100}xx"])
        sums["in"] += one.sent
        sums["out"] += one.received
        if one.is_content:
            sums["content", one.storage_class] += one.received
        if one.restored:
            speed, size = one.restored
            sums[speed, one.storage_class] += size
    return sums
