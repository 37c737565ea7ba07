"""Usage and bills through the billing center's API, with days of a second: a month passes
in half a minute. What the server counts and charges is compared with what the client has
sent, and with prices multiplied here."""

import csv
import io
import subprocess
import time
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

import pytest
from tencentcloud.billing.v20180709 import models
from tencentcloud.billing.v20180709.billing_client import BillingClient
from tencentcloud.common.credential import Credential

import harness
from s3client import s3
from test_cloud_api import profile, refused
from test_users import Cam, document, unused

# What an answer has and the service has not.
pytestmark = pytest.mark.filterwarnings("error:.*fileds are useless")

GB = Decimal(2**30)
PRODUCT = "Cloud Object Storage COS"
# Nobody's clients are internal here, so traffic is the internet's.
ARGS = ["--internal-networks", "203.0.113.0/24"]
ENV = {"COSTREL_DAY_SECONDS": "1", "COSTREL_USAGE_SECONDS": "1"}

# Of a day, a unit, or what goes beyond a step.
BOOK = """
name = "prices of a test, in a book"
currency = "EUR"
[storage]
STANDARD = [
    { above = "0", price = "30000" },
    { above = "0.001", price = "0.118" },
]
STANDARD_IA = "0.08"
[read_requests]
STANDARD = "0.01"
STANDARD_IA = "0.05"
[write_requests]
STANDARD = "0.01"
[retrieval]
STANDARD_IA = "0.02"
[traffic]
internet_downstream = [
    { above = "0", price = "5" },
    { above = "0.004", price = "0.3" },
]
internet_upstream = "0"
"""
# The same for the client: prices of a day where time counts.
PRICES = {
    "COS STANDARD storage capacity": [(0, "1000"), ("0.001", "0.00393333")],
    "COS STANDARD_IA storage capacity": [(0, "0.00266667")],
    "COS STANDARD storage read requests": [(0, "0.01")],
    "COS STANDARD_IA storage read requests": [(0, "0.05")],
    "COS STANDARD storage write requests": [(0, "0.01")],
    "COS STANDARD_IA storage data retrieval": [(0, "0.02")],
    "COS internet downstream traffic": [(0, "5"), ("0.004", "0.3")],
    "COS internet upstream traffic": [(0, "0")],
}


def day_now():
    return int(time.time())


def text(day):
    """The date of a day, of which there are 86,400 in a real one."""
    eras, of_era = divmod(day, 146097)
    civil = date(1970, 1, 1) + timedelta(days=of_era)
    return f"{civil.year + 400 * eras}-{civil.month:02}-{civil.day:02}"


def month_of(day):
    return text(day)[:-3]


def days_of_month(day):
    first, last = day, day
    while month_of(first - 1) == month_of(day):
        first -= 1
    while month_of(last + 1) == month_of(day):
        last += 1
    return first, last


class Billing:
    """The billing center as somebody calls it: `billing.DescribeBillDetail(Limit=1)`."""

    def __init__(self, server, id=harness.SECRET_ID, key=harness.SECRET_KEY, **more):
        self.client = BillingClient(Credential(id, key), harness.REGION, profile(server, **more))

    def __getattr__(self, action):
        def call(**parameters):
            request = getattr(models, f"{action}Request")()
            request._deserialize(parameters)
            return getattr(self.client, action)(request)

        return call

    def details(self, month, limit=7, **filters):
        """All entries, page by page."""
        entries, total = [], None
        while total is None or len(entries) < total:
            page = self.DescribeBillDetail(
                Offset=len(entries), Limit=limit, Month=month, NeedRecordNum=1, **filters
            )
            assert len(page.DetailSet) == min(limit, page.Total - len(entries))
            entries += page.DetailSet
            total = page.Total
        return entries

    def dosage(self, bucket, first, last):
        answer = self.DescribeDosageCosDetailByDate(
            StartDate=text(first), EndDate=text(last), BucketName=bucket
        )
        return answer.DetailSets


def bill(server, *arguments):
    """`costrel bill`: exit code, output, complaint."""
    ran = server.operate("bill", *arguments)
    return ran.returncode, ran.stdout, ran.stderr


def write_book(folder, content):
    path = folder / "prices.toml"
    path.write_text(content)
    return path


class Month:
    """A month in which two buckets were used, and what the client knows of it."""

    def __init__(self, server, prices):
        self.server, self.prices = server, prices
        self.first = self.last = None
        self.buckets = [f"used-{n}-{harness.APPID}" for n in (1, 2)]
        # By bucket: requests and bytes of bodies.
        self.counts = {name: defaultdict(int) for name in self.buckets}

    def use(self):
        client = s3(self.server, style="path")
        for name, team in zip(self.buckets, ("blue", "red")):
            client.create_bucket(Bucket=name)
            tags = {"TagSet": [{"Key": "team", "Value": team}]}
            client.put_bucket_tagging(Bucket=name, Tagging=tags)
        # All within one month, with some days left of it.
        while True:
            now = day_now()
            self.first, self.last = days_of_month(now)
            if 2 <= now - self.first <= 12:
                break
            time.sleep(0.2)
        self.began = {}
        for at, name in enumerate(self.buckets):
            counts = self.counts[name]

            def put(key, size, storage_class, name=name, counts=counts):
                body = bytes([at]) * size
                client.put_object(Bucket=name, Key=key, Body=body, StorageClass=storage_class)
                counts["writes", storage_class] += 1
                counts["in"] += size

            def get(key, size, storage_class, name=name, counts=counts):
                got = client.get_object(Bucket=name, Key=key)["Body"].read()
                assert len(got) == size
                counts["reads", storage_class] += 1
                counts["out", storage_class] += size

            put("standard", 3_000_001 + at, "STANDARD")
            self.began[name] = time.time()
            put("infrequent", 1_000_003, "STANDARD_IA")
            for _ in range(2 + at):
                get("standard", 3_000_001 + at, "STANDARD")
            get("infrequent", 1_000_003, "STANDARD_IA")
        assert day_now() < self.last, "the month was long enough"

    def wait(self):
        """Until the month is closed."""
        billing = Billing(self.server)
        month, deadline = month_of(self.first), time.monotonic() + 120
        while True:
            ready = billing.DescribeBillSummaryByProduct(BeginTime=month, EndTime=month).Ready
            if ready == 1:
                return month
            assert day_now() <= self.last + 60 and time.monotonic() < deadline, "it closes"
            time.sleep(0.5)


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    return write_book(tmp_path_factory.mktemp("prices"), BOOK)


@pytest.fixture(scope="module")
def used(prices):
    server = harness.new_server(args=[*ARGS, "--price-book", str(prices)], env=ENV).start()
    month = Month(server, prices)
    month.use()
    yield month
    server.finish()


def by_item(rows, name="BillingItemCodeName", value="DosageValue"):
    sums = defaultdict(Decimal)
    for row in rows:
        sums[getattr(row, name)] += Decimal(getattr(row, value))
    return sums


def in_bytes(gigabytes):
    return round(gigabytes * GB)


def plain(text):
    """As decimals are written: no exponent, no sign, no zeros at the end."""
    assert text == "0" or not text.endswith("0") or "." not in text, text
    assert set(text) <= set("0123456789."), text
    return Decimal(text)


def test_an_open_month_is_an_estimate(used):
    billing, month = Billing(used.server), month_of(used.first)
    answer = billing.DescribeBillSummaryByProduct(BeginTime=month, EndTime=month)
    assert answer.Ready == 0
    # Counts are kept within a second.
    deadline = time.monotonic() + 5
    while not (entries := billing.details(month)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    entry = entries[0]
    assert entry.PriceInfo == ["prices: prices of a test, in a book", "currency: EUR", "estimate"]
    code, out, complaint = bill(used.server, "show", month)
    assert (code, complaint) == (0, "") and "estimate" in out.splitlines()[0]
    code, _, complaint = bill(used.server, "close", month)
    assert code == 1 and "not over" in complaint
    code, _, complaint = bill(used.server, "reopen", month)
    assert code == 1 and "not closed" in complaint


def test_usage_is_what_the_client_has_counted(used):
    month = used.wait()
    billing = Billing(used.server)
    for name in used.buckets:
        rows = billing.dosage(name, used.first, used.last)
        counts, sums = used.counts[name], by_item(rows)
        for row in rows:
            assert row.BucketName == name
            day = row.DosageBeginTime.removesuffix(" 00:00:00")
            assert row.DosageEndTime == f"{day} 23:59:59" and day.startswith(f"{month}-")
            plain(row.DosageValue)
        # To the request. Making the bucket and tagging it were requests, too.
        requests = {
            "COS STANDARD storage read requests": counts["reads", "STANDARD"],
            "COS STANDARD_IA storage read requests": counts["reads", "STANDARD_IA"],
            "COS STANDARD_IA storage write requests": counts["writes", "STANDARD_IA"],
        }
        for item, count in requests.items():
            assert sums[item] == Decimal(count) / 10_000, item
        assert sums["COS STANDARD storage write requests"] >= Decimal("0.0001")
        # To the byte.
        out = counts["out", "STANDARD"] + counts["out", "STANDARD_IA"]
        assert in_bytes(sums["COS internet downstream traffic"]) == out
        assert in_bytes(sums["COS STANDARD_IA storage data retrieval"]) == (
            counts["out", "STANDARD_IA"]
        )
        assert in_bytes(sums["COS STANDARD storage data retrieval"]) == counts["out", "STANDARD"]
        units = {row.BillingItemCodeName: (row.SubProductCodeName, row.Unit) for row in rows}
        assert units["COS STANDARD storage capacity"] == ("COS STANDARD storage", "GB")
        assert units["COS internet downstream traffic"] == ("COS traffic", "GB")
        assert units["COS STANDARD storage read requests"][1] == "10,000 requests"
        # From when it was put to the month's end, as far as the client's clock says when.
        size = Decimal(3_000_001 + used.buckets.index(name))
        days = sums["COS STANDARD storage capacity"] * GB / size
        waited = Decimal(used.last + 1 - used.began[name])
        assert waited - 3 <= days <= waited + 3
        last = [row for row in rows if row.DosageBeginTime.startswith(text(used.last))]
        held = [row for row in last if row.BillingItemCodeName == "COS STANDARD storage capacity"]
        assert in_bytes(Decimal(held[0].DosageValue)) == size, "a whole day of it"


def test_a_bill_is_usage_times_prices(used):
    month = used.wait()
    billing, server = Billing(used.server), used.server
    want, position = [], defaultdict(Decimal)
    for name in used.buckets:
        days = defaultdict(list)
        for row in billing.dosage(name, used.first, used.last):
            days[row.DosageBeginTime].append(row)
        for begin, rows in sorted(days.items()):
            lines = []
            for row in rows:
                steps = PRICES.get(row.BillingItemCodeName)
                if not steps:
                    continue
                by_day = row.BillingItemCodeName.endswith("capacity")
                scale = (row.BillingItemCodeName, begin if by_day else None)
                at = position[scale]
                end = at + Decimal(row.DosageValue)
                position[scale] = end
                bounds = [Decimal(above) for above, _ in steps] + [Decimal("Infinity")]
                for (_, price), low, high in zip(steps, bounds, bounds[1:]):
                    part = min(end, high) - max(at, low)
                    if part > 0:
                        lines.append((row.BillingItemCodeName, Decimal(price), part))
            if lines:
                want.append((name, begin, lines))

    entries = billing.details(month)
    found, total, ids = [], Decimal(0), set()
    for entry in entries:
        lines = []
        for part in entry.ComponentSet:
            price, used_amount = plain(part.SinglePrice), plain(part.UsedAmount)
            cost = plain(part.Cost)
            assert cost == price * used_amount * plain(part.TimeSpan), "exactly"
            assert part.RealCost == part.CashPayAmount == part.Cost and part.Discount == "1"
            per_day = "/day" if part.ItemCodeName.endswith("capacity") else ""
            assert part.PriceUnit == f"EUR/{part.UsedAmountUnit}{per_day}"
            lines.append((part.ItemCodeName, price, used_amount))
            total += cost
        found.append((entry.ResourceId, entry.FeeBeginTime, lines))
        assert (entry.BusinessCode, entry.BusinessCodeName) == ("p_cos", PRODUCT)
        assert entry.BillMonth == month and entry.FeeBeginTime == f"{entry.BillDay} 00:00:00"
        assert entry.PayerUin == entry.OwnerUin == harness.OWNER_UIN
        assert entry.PriceInfo[-1] == "final"
        ids.add(entry.Id)
    assert found == want and len(ids) == len(entries)
    steps = {(item, price) for _, _, lines in found for item, price, _ in lines}
    assert len({price for item, price in steps if item.endswith("downstream traffic")}) == 2
    assert len({price for item, price in steps if "STANDARD storage cap" in item}) == 2

    # Every way to sum it up comes to the same.
    span = {"BeginTime": month, "EndTime": month}
    product = billing.DescribeBillSummaryByProduct(**span)
    assert plain(product.SummaryTotal.RealTotalCost) == total
    (row,) = product.SummaryOverview
    assert (row.BusinessCode, row.RealTotalCostRatio, row.BillMonth) == ("p_cos", "100.00", month)
    assert plain(row.CashPayAmount) == total
    (row,) = billing.DescribeBillSummaryByPayMode(**span).SummaryOverview
    assert row.PayMode == "postPay" and plain(row.TotalCost) == total
    assert plain(row.Detail[0].TotalCost) == total
    (row,) = billing.DescribeBillSummaryByRegion(**span).SummaryOverview
    assert row.RegionId == harness.REGION and plain(row.TotalCost) == total
    (row,) = billing.DescribeBillSummaryByProject(**span).SummaryOverview
    assert row.ProjectId == "0" and plain(row.TotalCost) == total
    costs = defaultdict(Decimal)
    for entry in entries:
        costs[entry.ResourceId] += sum(plain(part.Cost) for part in entry.ComponentSet)
    tags = billing.DescribeBillSummaryByTag(TagKey="team", **span)
    teams = dict(zip(("blue", "red"), used.buckets))
    assert {row.TagValue: plain(row.TotalCost) for row in tags.SummaryOverview} == {
        team: costs[name] for team, name in teams.items()
    }
    assert plain(tags.SummaryTotal.TotalCost) == total
    red = billing.DescribeBillSummaryByTag(TagKey="team", TagValue="red", **span)
    assert plain(red.SummaryTotal.TotalCost) == costs[teams["red"]]
    groups = {"business": "p_cos", "project": "0", "region": harness.REGION, "payMode": "postPay"}
    for kind, key in groups.items():
        answer = billing.DescribeBillSummary(Month=month, GroupType=kind)
        (row,) = answer.SummaryDetail
        assert (answer.Ready, row.GroupKey, plain(row.TotalCost)) == (1, key, total)
        assert plain(row.Business[0].RealTotalCost) == total
    answer = billing.DescribeBillSummary(Month=month, GroupType="tag", TagKey=["team"])
    assert {row.GroupKey: plain(row.TotalCost) for row in answer.SummaryDetail} == {
        team: costs[name] for team, name in teams.items()
    }
    resources = billing.DescribeBillResourceSummary(Month=month, Offset=0, Limit=9, NeedRecordNum=1)
    assert resources.Total == 2
    assert {row.ResourceId: plain(row.TotalCost) for row in resources.ResourceSummarySet} == costs
    second = billing.DescribeBillResourceSummary(Month=month, Offset=1, Limit=1)
    assert [row.ResourceId for row in second.ResourceSummarySet] == used.buckets[1:]
    assert second.Total is None
    one = billing.DescribeBillResourceSummary(
        Month=month, Offset=0, Limit=9, TagKey="team", TagValue="blue"
    )
    assert [row.ResourceId for row in one.ResourceSummarySet] == used.buckets[:1]

    # And so does the operator's file.
    code, out, complaint = bill(server, "export", month)
    assert (code, complaint) == (0, "")
    lines = list(csv.DictReader(io.StringIO(out, newline=""), strict=True))
    assert [line["Bucket"] for line in lines] == [
        name for name, _, parts in found for _ in parts
    ]
    for line in lines:
        cost = Decimal(line["SinglePrice"]) * Decimal(line["UsedAmount"])
        assert Decimal(line["Cost"]) == cost * Decimal(line["TimeSpan"])
        assert (line["Month"], line["State"], line["Currency"]) == (month, "final", "EUR")
        assert line["PriceBook"] == "prices of a test, in a book"
        assert line["Tags"] in ('{"team":"blue"}', '{"team":"red"}')
    assert sum(Decimal(line["Cost"]) for line in lines) == total
    code, out, _ = bill(server, "show", month)
    assert out.splitlines()[0] == f"{month}, closed"
    assert out.split()[-2:] == [product.SummaryTotal.TotalCost, "EUR"]


def test_what_is_asked_for_is_shown_and_nothing_else(used):
    month = used.wait()
    billing = Billing(used.server)
    every = billing.details(month)
    span = {"BeginTime": f"{month}-01 00:00:00", "EndTime": f"{month}-02 12:30:00"}
    answer = billing.DescribeBillDetail(Offset=0, Limit=300, Month="2018-01", **span)
    assert len(answer.DetailSet) == len(every), "all of the month, whatever the days"
    assert answer.Total is None
    name = used.buckets[0]
    mine = billing.details(month, ResourceId=name)
    assert mine and {entry.ResourceId for entry in mine} == {name}
    for filters in (
        {"BusinessCode": "p_cos"},
        {"PayMode": "postPay"},
        {"PeriodType": "byUsedTime"},
        {"ProjectId": 0},
        {"ActionType": "按量计费日结"},
        {"PayerUin": harness.OWNER_UIN},
    ):
        assert len(billing.details(month, limit=300, **filters)) == len(every), filters
    for filters in (
        {"BusinessCode": "p_cvm"},
        {"PayMode": "prePay"},
        {"ProjectId": 7},
        {"ActionType": "包年包月新购"},
        {"ResourceId": "nobody-1250000000"},
    ):
        assert billing.details(month, **filters) == [], filters
    far = billing.DescribeBillDetail(Offset=10**6, Limit=1, Month=month, NeedRecordNum=1)
    assert far.DetailSet == [] and far.Total == len(every)
    refund = billing.DescribeBillSummaryByProduct(
        BeginTime=month, EndTime=month, PayType="refund"
    )
    assert refund.SummaryOverview == [] and refund.SummaryTotal.TotalCost == "0"
    # Flat parameters ask for the same.
    flat = Billing(used.server, method="GET")
    assert len(flat.details(month, limit=300)) == len(every)
    answer = flat.DescribeBillSummary(Month=month, GroupType="tag", TagKey=["team"])
    assert len(answer.SummaryDetail) == 2
    other = billing.DescribeBillSummary(Month=month, GroupType="business", OperateUin="100000000002")
    assert other.SummaryDetail == []


def test_bad_requests_have_their_codes(used):
    month = used.wait()
    billing, name = Billing(used.server), used.buckets[0]
    before = [entry.Id for entry in billing.details(month)]
    value, missing = "InvalidParameterValue", "MissingParameter"
    detail = {"Offset": 0, "Limit": 1, "Month": month}
    span = {"BeginTime": month, "EndTime": month}
    dosage = {"StartDate": f"{month}-01", "EndDate": f"{month}-02", "BucketName": name}
    for action, base, change, code in [
        ("DescribeBillDetail", detail, {"Limit": 0}, value),
        ("DescribeBillDetail", detail, {"Limit": 301}, value),
        ("DescribeBillDetail", detail, {"Offset": -1}, value),
        ("DescribeBillDetail", detail, {"Offset": "0"}, "InvalidParameter"),
        ("DescribeBillDetail", detail, {"Limit": None}, missing),
        ("DescribeBillDetail", detail, {"Month": None}, missing),
        ("DescribeBillDetail", detail, {"Month": "2026-13"}, value),
        ("DescribeBillDetail", detail, {"Month": "2026-1"}, value),
        ("DescribeBillDetail", detail, {"Month": "26-01"}, value),
        ("DescribeBillDetail", detail, {"BeginTime": "2026-01-01 00:00:00"}, missing),
        (
            "DescribeBillDetail",
            detail,
            {"BeginTime": "2026-01-31 00:00:00", "EndTime": "2026-02-01 00:00:00"},
            value,
        ),
        ("DescribeBillDetail", detail, {"BeginTime": "2026-01", "EndTime": "2026-01"}, value),
        ("DescribeBillDetail", detail, {"NeedRecordNum": 2}, value),
        ("DescribeBillDetail", detail, {"PayMode": "never"}, value),
        ("DescribeBillDetail", detail, {"PeriodType": "byMoon"}, value),
        ("DescribeBillDetail", detail, {"PeriodType": "byPayTime"}, "UnsupportedOperation"),
        ("DescribeBillDetail", detail, {"PayerUin": "100000000002"}, value),
        ("DescribeBillResourceSummary", detail, {"Limit": 1001}, value),
        ("DescribeBillResourceSummary", detail, {"Month": None}, missing),
        ("DescribeBillResourceSummary", detail, {"TagValue": "red"}, missing),
        ("DescribeBillSummaryByProduct", span, {"EndTime": "2026-01"}, value),
        ("DescribeBillSummaryByProduct", span, {"EndTime": None}, missing),
        ("DescribeBillSummaryByProduct", span, {"PayType": "theft"}, value),
        ("DescribeBillSummaryByRegion", span, {"BeginTime": "yesterday"}, value),
        ("DescribeBillSummaryByTag", span, {}, missing),
        ("DescribeBillSummaryByTag", span, {"TagKey": "none"}, "FailedOperation.TagKeyNotExist"),
        ("DescribeBillSummary", {"Month": month, "GroupType": "tag"}, {}, missing),
        ("DescribeBillSummary", {"Month": month, "GroupType": "colour"}, {}, value),
        (
            "DescribeBillSummary",
            {"Month": month, "GroupType": "tag", "TagKey": ["a", "b"]},
            {},
            "UnsupportedOperation",
        ),
        ("DescribeBillSummary", {"Month": month}, {}, missing),
        ("DescribeDosageCosDetailByDate", dosage, {"StartDate": f"{month}-03"}, value),
        ("DescribeDosageCosDetailByDate", dosage, {"StartDate": "2026-02-29"}, value),
        ("DescribeDosageCosDetailByDate", dosage, {"EndDate": "2026-01-01"}, value),
        ("DescribeDosageCosDetailByDate", dosage, {"BucketName": None}, missing),
        ("DescribeDosageCosDetailByDate", dosage, {"BucketName": "none-1250000000"}, value),
        ("DescribeAccountBalance", {}, {}, "UnsupportedOperation"),
    ]:
        asked = {k: v for k, v in {**base, **change}.items() if v is not None}
        found = refused(lambda: getattr(billing, action)(**asked))
        assert found == code, (action, change, found)
    assert [entry.Id for entry in billing.details(month)] == before


def test_who_may_see_bills(used):
    month = used.wait()
    cam = Cam(used.server)
    made = cam.AddUser(Name=unused("clerk"), UseApi=1)
    theirs = Billing(used.server, made.SecretId, made.SecretKey)
    span = {"BeginTime": month, "EndTime": month}
    dosage = {
        "StartDate": f"{month}-01",
        "EndDate": f"{month}-01",
        "BucketName": used.buckets[0],
    }
    denied = "AuthFailure.UnauthorizedOperation"
    assert refused(lambda: theirs.DescribeBillSummaryByProduct(**span)) == denied
    assert refused(lambda: theirs.DescribeDosageCosDetailByDate(**dosage)) == denied
    assert refused(lambda: theirs.DescribeBillDetail(Offset=0, Limit=1, Month=month)) == denied
    policy = cam.CreatePolicy(
        PolicyName=unused("bills"), PolicyDocument=document({"action": "finance:DescribeBill*"})
    )
    cam.AttachUserPolicy(PolicyId=policy.PolicyId, AttachUin=made.Uin)
    deadline = time.monotonic() + 10
    while True:
        try:
            assert theirs.DescribeBillSummaryByProduct(**span).Ready == 1
            break
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert refused(lambda: theirs.DescribeDosageCosDetailByDate(**dosage)) == denied
    # The operator's commands need more than a key.
    assert used.server.console(f"/bill/show?month={month}")[0] == 403


def test_a_closed_month_keeps_its_prices(used):
    month, server = used.wait(), used.server
    span = {"BeginTime": month, "EndTime": month}

    def total():
        answer = Billing(server).DescribeBillSummaryByProduct(**span)
        return answer.Ready, Decimal(answer.SummaryTotal.TotalCost)

    before = total()
    assert before[0] == 1
    assert server.stop() == 0
    write_book(used.prices.parent, BOOK.replace("30000", "60000").replace("EUR", "CNY"))
    server.start()
    assert total() == before
    entries = Billing(server).details(month)
    assert entries[0].PriceInfo == ["prices: prices of a test, in a book", "currency: EUR", "final"]
    code, _, complaint = bill(server, "close", month)
    assert code == 1 and "closed already" in complaint

    code, out, _ = bill(server, "reopen", month)
    assert code == 0 and month in out
    time.sleep(6)
    ready, dearer = total()
    assert ready == 0 and dearer > before[1], "it is nobody's job to close it again"
    code, out, _ = bill(server, "close", month)
    assert code == 0 and f"{dearer} CNY" in out
    assert total() == (1, dearer)
    for word in ("month closed", "month reopened"):
        assert any(word in line and month in line for line in server.log().splitlines())
    # The two are what they are: storage within the first step costs twice as much.
    first_step = sum(
        Decimal(part.Cost)
        for entry in entries
        for part in entry.ComponentSet
        if part.SinglePrice == "1000"
    )
    assert dearer - before[1] == first_step


def test_a_book_with_mistakes_keeps_the_server_from_starting(tmp_path):
    for content, complaint in [
        (BOOK.replace('"0.08"', "0.08"), "storage.STANDARD_IA: has to be in quotes"),
        (BOOK + "[storge]\n", "storge: there is no such key"),
        (BOOK.replace('currency = "EUR"', ""), "currency: is missing"),
        (BOOK.replace('"0.001"', '"0"'), "storage.STANDARD: its step above 0 does not"),
    ]:
        book = write_book(tmp_path, content)
        server = harness.Server(args=["--price-book", str(book)])
        try:
            with pytest.raises(AssertionError) as ended:
                server.start()
            assert f"price book {book}: {complaint}" in str(ended.value)
        finally:
            server.discard()
    ran = subprocess.run([harness.BINARY, "bill", "prices"], capture_output=True, text=True)
    book = write_book(tmp_path, ran.stdout)
    harness.Server(args=["--price-book", str(book)]).start().finish()
