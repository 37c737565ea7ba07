"""A day whose requests the clients have counted themselves: two vendors' SDKs send a known
stream to two buckets, and then the delivered logs, the series, the usage and the bill are
compared with what they know, to the request and to the byte. The same again with a kill in
the middle, by which no data and no storage is lost, and no count but the last second's.

Days are of some seconds. Both servers have theirs at the same time."""

import collections
import contextlib
import itertools
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

import harness
from ledger import Ledger, Unanswered, figures
from test_bills import Billing, days_of_month, in_bytes, month_of, text, write_book
from test_logs import LOST_S, Reader, of_cos, of_s3, top
from test_monitor import MIB, REQUESTS, Monitor, china
from test_usage import usage

# What an answer of the billing center has and the service has not.
pytestmark = pytest.mark.filterwarnings("error:.*fileds are useless")

DAY_S = 5
ENV = {
    "COSTREL_DAY_SECONDS": str(DAY_S),
    "COSTREL_USAGE_SECONDS": "1",
    "COSTREL_LOG_DELIVERY_SECONDS": "1",
}
# Traffic is the internet's.
ARGS = ["--internal-networks", "203.0.113.0/24"]
# How long things may take that are to happen within seconds, on a machine that is busy.
PATIENCE_S = 60

CLASSES = {
    "STANDARD": ("Std", "Std", "Std"),
    "STANDARD_IA": ("Ia", "Sia", "Ia"),
    "INTELLIGENT_TIERING": ("It", "ItFreq", "ItFreq"),
    "ARCHIVE": (None, "Arc", "Arc"),
    "DEEP_ARCHIVE": ("DeepArc", "DeepArc", "DeepArc"),
}
PRICES = {name: Decimal(n + 1) / 7 // Decimal("0.0001") / 10_000 for n, name in enumerate(CLASSES)}
SPEEDS = {"Expedited": "expedited", "Standard": "standard", "Bulk": "bulk"}
RESTORES = {"cos": ("Expedited", "CASJobParameters"), "aws": ("Bulk", "GlacierJobParameters")}

# Where a line of each form says what.
LINE = ("bucket", "method", "key", "status", "received")
IN_COS = {"bucket": 1, "method": 12, "key": 11, "status": 14, "received": 17, "id": 24,
          "zero": "0", "none": ""}
IN_S3 = {"bucket": 1, "method": 8, "key": 7, "status": 9, "received": 11, "id": 5,
         "zero": "-", "none": "-"}


def book():
    """A price for everything."""
    tables = ["storage", "read_requests", "write_requests", "retrieval"]
    tables += [f"{speed}_restore" for speed in SPEEDS.values()]
    lines = ['name = "of a day"', 'currency = "CNY"']
    for number, table in enumerate(tables):
        lines.append(f"[{table}]")
        # Prices of storage are of thirty days.
        factor = 30 if table == "storage" else number + 1
        lines += [f'{name} = "{price * factor}"' for name, price in PRICES.items()]
    lines += ["[traffic]", 'internet_downstream = "0.5"', 'internet_upstream = "0.125"']
    return "\n".join(lines)


def price_of(item):
    """Of a unit and, where time counts, a day."""
    if item.endswith("traffic"):
        return Decimal("0.5" if "down" in item else "0.125")
    storage_class = item.split()[1]
    numbers = {"read requests": 2, "write requests": 3, "data retrieval": 4}
    numbers.update({f"{speed} restore": 5 + n for n, speed in enumerate(SPEEDS.values())})
    what = item.removeprefix(f"COS {storage_class} storage ")
    return PRICES[storage_class] * numbers.get(what, 1)


# -- the stream ------------------------------------------------------------------


def stream(ledger, bucket, round_):
    """Requests of both dialects: what is stored, read, refused, and gone again."""
    cos, aws = ledger.cos, ledger.aws
    for dialect, client, stranger in (
        ("cos", cos, ledger.cos_stranger),
        ("aws", aws, ledger.aws_stranger),
    ):
        name = lambda word: f"{dialect}/{word} {round_}"
        for number, storage_class in enumerate(CLASSES):
            body = bytes([round_ % 256]) * (1000 * (number + 1) + round_)
            ledger.put(client.put_object, bucket, name(storage_class), body, storage_class)
        # Larger than what is kept beside its row.
        ledger.put(client.put_object, bucket, name("large"), b"l" * 100_003, "STANDARD_IA")
        ledger.put(client.put_object, bucket, name("again"), b"a" * 77)
        ledger.put(client.put_object, bucket, name("again"), b"b" * 7)
        ledger.put(client.put_object, bucket, name("gone"), b"g" * 99)
        ledger.get(client.get_object, bucket, name("STANDARD"))
        ledger.get(client.get_object, bucket, name("large"))
        ledger.get(client.get_object, bucket, name("large"), content_bytes=51, expect=206,
                   Range="bytes=99952-100002")
        ledger.get(client.get_object, bucket, name("INTELLIGENT_TIERING"))
        ledger.call(client.head_object, bucket, name("DEEP_ARCHIVE"), "DEEP_ARCHIVE")
        ledger.call(client.head_object, bucket, name("missing"), expect=404)
        ledger.call(client.get_object, bucket, name("missing"), expect=404)
        ledger.call(client.get_object, bucket, name("ARCHIVE"), "ARCHIVE", expect=403)
        ledger.call(stranger.get_object, bucket, name("STANDARD"), expect=403)
        # The class of what is refused is nobody's.
        ledger.call(stranger.put_object, bucket, name("refused"), expect=403, Body=b"r" * 88,
                    StorageClass="DEEP_ARCHIVE")
        ledger.call(client.list_objects, bucket)
        ledger.delete(client.delete_object, bucket, name("gone"))
        restore(ledger, client, dialect, bucket, name("ARCHIVE"))
        multipart(ledger, client, dialect, bucket, name)
    ledger.call(aws.copy_object, bucket, "copied", "STANDARD_IA", StorageClass="STANDARD_IA",
                CopySource={"Bucket": bucket, "Key": f"aws/STANDARD {round_}"})
    ledger.stored[bucket, "copied"] = 1000 + round_, "STANDARD_IA"


def restore(ledger, client, dialect, bucket, key):
    speed, job = RESTORES[dialect]
    request = {"Days": 1, job: {"Tier": speed}}
    size, storage_class = ledger.stored[bucket, key]
    ledger.call(client.restore_object, bucket, key, storage_class, expect=202,
                restored=(speed, size), RestoreRequest=request)


def multipart(ledger, client, dialect, bucket, name):
    """Makes an object of two parts, and an upload that stays open, with one."""
    begin = lambda key, storage_class: ledger.call(
        client.create_multipart_upload, bucket, key, storage_class, StorageClass=storage_class
    )["UploadId"]
    add = lambda key, storage_class, upload, number, body: ledger.call(
        client.upload_part, bucket, key, storage_class, UploadId=upload, PartNumber=number,
        Body=body,
    )
    key, upload = name("parts"), begin(name("parts"), "STANDARD_IA")
    # What each service takes at least for a part that is not the last.
    size = {"cos": MIB, "aws": 5 * MIB}[dialect]
    bodies = [b"1" * size, b"2" * 17]
    made = [add(key, "STANDARD_IA", upload, n, body) for n, body in enumerate(bodies, 1)]
    names = {"cos": ["ETag"], "aws": ["ETag", "ChecksumCRC32"]}[dialect]
    parts = [
        {"PartNumber": n, **{name: part[name] for name in names}} for n, part in enumerate(made, 1)
    ]
    word = {"cos": "Part", "aws": "Parts"}[dialect]
    ledger.call(client.complete_multipart_upload, bucket, key, "STANDARD_IA", UploadId=upload,
                MultipartUpload={word: parts})
    ledger.stored[bucket, key] = size + 17, "STANDARD_IA"
    upload = begin(name("open"), "DEEP_ARCHIVE")
    add(name("open"), "DEEP_ARCHIVE", upload, 1, b"o" * 4321)
    ledger.parts[bucket, upload] = 4321, "DEEP_ARCHIVE"
    upload = begin(name("ended"), "STANDARD")
    add(name("ended"), "STANDARD", upload, 1, b"e" * 1234)
    ledger.call(client.abort_multipart_upload, bucket, name("ended"), expect=204, UploadId=upload)


# -- the day ---------------------------------------------------------------------


def day_now():
    return int(time.time()) // DAY_S


class Day:
    """A server's days, and what the clients know of them."""

    def __init__(self, prices, is_killed):
        args = [*ARGS, "--price-book", str(prices)]
        self.server = harness.new_server(args=args, env=ENV).start()
        self.ledger = Ledger(self.server)
        self.buckets = [f"{word}-{harness.APPID}" for word in ("east", "west")]
        self.targets = [f"{word}-logs-{harness.APPID}" for word in ("east", "west")]
        # Ids of requests of which nobody can say whether they were counted.
        self.uncertain = set()
        # Requests that the server had shown as counted before it was killed.
        self.shown = dict.fromkeys(self.buckets, 0)
        self.begin()
        rounds = itertools.count(1)
        self.stream(next(rounds))
        # And beyond a midnight.
        while day_now() == self.first:
            self.stream(next(rounds))
        self.stream(next(rounds))
        if is_killed:
            self.stream_until_killed(rounds)
            self.stream(next(rounds))
        self.look()
        self.quiet = day_now() + 1
        time.sleep((self.quiet + 1) * DAY_S - time.time())

    def begin(self):
        ledger, (by_cos, by_s3) = self.ledger, self.buckets
        for target in self.targets:
            assert self.server.cos("PUT", target).status == 200
        self.first = day_now()
        ledger.call(ledger.cos.create_bucket, by_cos)
        ledger.call(ledger.aws.create_bucket, by_s3)
        # One is logged in the form of COS, the other in S3's.
        for client, bucket, target in zip((ledger.cos, ledger.aws), self.buckets, self.targets):
            enabled = {"TargetBucket": target, "TargetPrefix": "logs/"}
            ledger.call(client.put_bucket_logging, bucket,
                        BucketLoggingStatus={"LoggingEnabled": enabled})
        # It begins with what is asked behind that.
        self.not_logged = set(ledger.known)

    def stream(self, round_):
        for bucket in self.buckets:
            stream(self.ledger, bucket, round_)

    def stream_until_killed(self, rounds):
        def work():
            with contextlib.suppress(Unanswered):
                while True:
                    self.stream(next(rounds))

        with ThreadPoolExecutor() as pool:
            working = pool.submit(work)
            time.sleep(LOST_S * self.server.slowness + 1)
            for bucket in self.buckets:
                counted = self.server.metric("costrel_bucket_requests_total", bucket=bucket)
                self.shown[bucket] = counted
            self.server.kill()
            killed = time.monotonic()
            working.result()
        ended = {id_: sent.ended for id_, sent in self.ledger.known.items()}
        lost_s = LOST_S * self.server.slowness
        self.uncertain = {id_ for id_, at in ended.items() if at > killed - lost_s}
        assert 0 < len(self.uncertain) < len(ended)
        self.server.start()

    def look(self):
        """Lists what is there: nothing that was acknowledged is missing."""
        ledger, aws = self.ledger, self.ledger.aws
        self.held = {bucket: collections.Counter() for bucket in self.buckets}
        self.objects = {bucket: collections.Counter() for bucket in self.buckets}
        doubtful = {(bucket, key) for bucket, key, _ in ledger.unanswered}
        found, parts = {}, {}
        for bucket in self.buckets:
            page = ledger.call(aws.list_objects_v2, bucket)
            assert not page["IsTruncated"]
            for entry in page["Contents"]:
                found[bucket, entry["Key"]] = entry["Size"], entry["StorageClass"]
            for upload in ledger.call(aws.list_multipart_uploads, bucket)["Uploads"]:
                page = ledger.call(aws.list_parts, bucket, upload["Key"], UploadId=upload["UploadId"])
                sizes = sum(part["Size"] for part in page.get("Parts", []))
                parts[bucket, upload["UploadId"]] = sizes, upload["StorageClass"]
        certain = lambda known: {at: it for at, it in known.items() if at not in doubtful}
        assert certain(found) == certain(ledger.stored)
        assert ledger.parts.items() <= parts.items()
        if not doubtful:
            assert ledger.parts == parts
        for (bucket, _), (size, storage_class) in found.items():
            self.held[bucket][storage_class] += size
            self.objects[bucket][storage_class] += 1
        # Parts are stored, and billed, in the class of their upload.
        for (bucket, _), (size, storage_class) in parts.items():
            self.held[bucket][storage_class] += size

    # -- what is to be told ----------------------------------------------------------

    def bounds(self, bucket):
        """What requests come to at least, and at most. The two are the same but for those
        that a kill leaves in doubt."""
        sent = self.ledger.of(bucket)
        least = figures(one for id_, one in sent.items() if id_ not in self.uncertain)
        most = figures(sent.values())
        # Nobody knows how far the server came with it.
        for _, _, size in (one for one in self.ledger.unanswered if one[0] == bucket):
            for name in [*most, *least]:
                most[name] += 200_000 if is_bytes(name) else 1
        return least, most

    def agrees(self, bucket, told):
        least, most = self.bounds(bucket)
        for name, value in told.items():
            assert least[name] <= value <= most[name], (name, least[name], value, most[name])
        if not self.uncertain:
            assert least == most

    def logged(self, bucket):
        sent = self.ledger.of(bucket).items()
        return {id_: one for id_, one in sent if id_ not in self.not_logged}


def is_bytes(name):
    return name in ("in", "out") or (isinstance(name, tuple) and name[0] not in ("read", "write"))


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    prices = write_book(tmp_path_factory.mktemp("prices"), book())
    # A server ends with the thread that has started it.
    with ThreadPoolExecutor() as pool:
        whole, killed = pool.map(lambda is_killed: Day(prices, is_killed), (False, True))
        yield {"whole": whole, "killed": killed}
        whole.server.finish()
        killed.server.finish()


@pytest.fixture(params=["whole", "killed"])
def day(days, request):
    return days[request.param]


def check_line(one, fields, at):
    """What a line says of a request, by where its form has it."""
    bucket, method, key, status, received = (fields[at[name]] for name in LINE)
    assert (bucket, method, status) == (one.bucket, one.method, str(one.status)), fields
    assert urllib.parse.unquote(key).removeprefix("/") == (one.key or at["none"]), fields
    assert received == (str(one.received) if one.received else at["zero"]), fields


def test_each_request_is_one_line_of_a_log(day):
    for bucket, target, parse, at in zip(
        day.buckets, day.targets, (of_cos, of_s3), (IN_COS, IN_S3)
    ):
        logged, reader = day.logged(bucket), Reader(day.server, target)
        certain = logged.keys() - day.uncertain
        # In S3's form what a copy reads has a line of its own.
        copies = sum(logged[id_].key == "copied" for id_ in certain) if parse is of_s3 else 0
        lines, sources = {}, []
        for line in reader.wait(len(certain) + copies, PATIENCE_S):
            fields = parse(line)
            id_ = fields[at["id"]]
            if parse is of_s3 and fields[6] == "REST.COPY.OBJECT_GET":
                sources.append(id_)
                continue
            assert id_ not in lines, "no request is there twice"
            lines[id_] = fields
        assert certain <= lines.keys() and len(sources) == len(set(sources)) >= copies
        unknown = lines.keys() - logged.keys()
        assert len(unknown) <= len(day.ledger.unanswered)
        for id_, fields in lines.items():
            if id_ in unknown:
                continue
            if parse is of_s3:
                # `"GET /key HTTP/1.1"`
                fields[at["method"]] = fields[at["method"]].split()[0]
            else:
                assert fields[9] == str(logged[id_].sent), fields
            check_line(logged[id_], fields, at)
        if not day.uncertain:
            by_object(day, bucket, logged, copies)


def by_object(day, bucket, logged, copies):
    """`costrel logs top` tells the same."""
    # What was copied, was read.
    requests = collections.Counter(f"aws/STANDARD {n + 1}" for n in range(copies))
    received = collections.Counter()
    for one in logged.values():
        requests[one.key] += 1
        received[one.key] += one.received
    code, lines, complaint = top(day.server, bucket, "--count", "1000")
    assert (code, complaint) == (0, "")
    shown = {line[3]: (int(line[0]), int(line[1])) for line in lines[1:] if line[2] == bucket}
    assert shown == {key: (requests[key], received[key]) for key in requests if key}
    assert lines[-1] == [str(requests[""]), "requests", "on", "buckets"]


def series(day, bucket, **parameters):
    """What the monitoring API says of a bucket's requests."""
    monitor = Monitor(day.server)
    metrics = {
        **REQUESTS,
        "in": "InternetTrafficUp",
        "out": "InternetTraffic",
        ("content", "STANDARD"): "StdRetrieval",
        ("content", "STANDARD_IA"): "IaRetrieval",
    }
    told = monitor.sums(bucket, metrics, **parameters)
    for storage_class, (word, _, _) in CLASSES.items():
        for kind in ("read", "write") if word else ():
            metric = f"{word}{kind.capitalize()}Requests"
            told[kind, storage_class] = monitor.sum(bucket, metric, **parameters)
    return told


def test_the_series_say_what_was_asked_for_and_is_held(day):
    monitor = Monitor(day.server)
    for bucket in day.buckets:
        told = series(day, bucket)
        day.agrees(bucket, told)
        assert monitor.sum(bucket, "TotalRequests") == told["read"] + told["write"]
        assert told["read"] + told["write"] >= day.shown[bucket], "what it had shown is there"
        for period in (60, 3600, 86_400):
            since = china(time.time() - max(period, 1000))
            for name, metric in (("write", "PutRequests"), ("out", "InternetTraffic")):
                sum_ = monitor.sum(bucket, metric, Period=period, StartTime=since)
                assert sum_ == told[name], period
        for storage_class, (_, storage, objects) in CLASSES.items():
            held = monitor.last(bucket, f"{storage}Storage")
            assert held * MIB == day.held[bucket][storage_class], storage_class
            count = monitor.last(bucket, f"{objects}ObjectNumber")
            assert count == day.objects[bucket][storage_class], storage_class


def usage_of(day, bucket):
    """Rows of what a bucket has used, by day."""
    billing, rows, first = Billing(day.server), {}, day.first
    while first <= day.quiet:
        # Of one month at a time.
        last = min(days_of_month(first)[1], day.quiet)
        for row in billing.dosage(bucket, first, last):
            used = rows.setdefault(row.DosageBeginTime.split()[0], {})
            used[row.BillingItemCodeName] = Decimal(row.DosageValue)
        first = last + 1
    return rows


def test_usage_is_what_was_asked_for(day):
    for bucket in day.buckets:
        told = {}
        for used in usage_of(day, bucket).values():
            for item, amount in used.items():
                name = figure_of(item)
                if name:
                    scale = 10_000 if name[0] in ("read", "write") else 2**30
                    # Amounts have ten digits behind the point.
                    told[name] = told.get(name, 0) + round(amount * scale)
        told["in"], told["out"] = told.pop(("in",)), told.pop(("out",))
        day.agrees(bucket, told)
        # One count: even what a kill has left in doubt is everywhere the same.
        for name, value in series(day, bucket).items():
            assert name not in told or told[name] == value, name
        least, _ = day.bounds(bucket)
        assert {name for name in least if isinstance(name, tuple)} <= told.keys()


def figure_of(item):
    """Which of the client's figures an item of usage is."""
    if item.endswith("traffic"):
        return ("out" if "downstream" in item else "in",)
    storage_class, what = item.removeprefix("COS ").split(" ", 1)
    if what == "storage capacity":
        return None
    word = what.removeprefix("storage ").split()[0]
    speeds = {low: speed for speed, low in SPEEDS.items()}
    word = {"data": "content", **speeds}.get(word, word)
    return word, storage_class


def test_a_quiet_day_is_billed_for_what_is_held(day):
    """To the byte: parts of open uploads, and of the one that a kill has cut off, too."""
    for bucket in day.buckets:
        want = dict(day.held[bucket])
        deadline, quiet = time.monotonic() + PATIENCE_S, day.quiet
        while True:
            rows = Billing(day.server).dosage(bucket, quiet, quiet)
            held = {
                row.SubProductCodeName.split()[1]: in_bytes(Decimal(row.DosageValue))
                for row in rows
                if row.BillingItemCodeName.endswith("storage capacity")
            }
            if held == want:
                break
            # What was freed late may have been there at midnight.
            assert time.monotonic() < deadline, (held, want)
            quiet += 1
            time.sleep(max((quiet + 1) * DAY_S - time.time(), 0))


def test_the_bill_is_usage_times_prices(day):
    billing, months = Billing(day.server), {month_of(day.first), month_of(day.quiet)}
    entries = [entry for month in sorted(months) for entry in billing.details(month, limit=300)]
    for bucket in day.buckets:
        usage, billed = usage_of(day, bucket), {}
        for entry in entries:
            if entry.ResourceId != bucket or entry.BillDay > text(day.quiet):
                continue
            parts = {part.ItemCodeName: part for part in entry.ComponentSet}
            assert len(parts) == len(entry.ComponentSet)
            billed[entry.BillDay] = {
                item: Decimal(part.UsedAmount) for item, part in parts.items()
            }
            for item, part in parts.items():
                cost = price_of(item) * Decimal(part.UsedAmount)
                assert Decimal(part.Cost) == cost, item
        assert billed == usage
        # By the client's own count: what all its requests cost.
        least, most = day.bounds(bucket)
        cost = lambda figures: sum(
            price_of(f"COS {name[1]} storage {name[0]} requests") * count / 10_000
            for name, count in figures.items()
            if isinstance(name, tuple) and name[0] in ("read", "write")
        )
        told = sum(
            price_of(item) * amount
            for used in billed.values()
            for item, amount in used.items()
            if item.endswith("requests")
        )
        assert cost(least) <= told <= cost(most)


def test_counters_are_right_after_all(day):
    """What a look at every row says."""
    server = day.server
    assert server.stop() == 0
    code, lines, complaint = usage(server, "recount")
    assert (code, complaint) == (0, "")
    assert lines[-1] == "0 differences"
