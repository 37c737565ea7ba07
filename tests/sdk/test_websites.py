"""Static websites through both vendors' SDKs, and as browsers see them."""

import pytest
import requests

from cosclient import make_client
from s3client import s3
from test_boto3 import refused as aws_refused
from test_cos_python import expect
from test_cos_python import refused as cos_refused


@pytest.mark.parametrize("suffix", ["cos-website.ap-guangzhou.myqcloud.com", "s3-website.ap-guangzhou.amazonaws.com"])
def test_a_website(server, bucket, suffix):
    aws, cos = s3(server), make_client(server)
    assert aws_refused(aws.get_bucket_website, Bucket=bucket) == (404, "NoSuchWebsiteConfiguration")
    expect(cos_refused(cos.get_bucket_website, Bucket=bucket), 404, "NoSuchWebsiteConfiguration")

    def visit(path):
        headers = {"Host": f"{bucket}.{suffix}"}
        url = f"http://127.0.0.1:{server.port}{path}"
        return requests.get(url, headers=headers, allow_redirects=False)

    for key in ("index.html", "error.html", "docs/index.html"):
        aws.put_object(Bucket=bucket, Key=key, Body=key.encode(), ACL="public-read", ContentType="text/html")
    site = {
        "IndexDocument": {"Suffix": "index.html"},
        "ErrorDocument": {"Key": "error.html"},
        "RoutingRules": [
            {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "docs/"}}
        ],
    }
    aws.put_bucket_website(Bucket=bucket, WebsiteConfiguration=site)
    shown = aws.get_bucket_website(Bucket=bucket)
    assert {name: shown[name] for name in site} == site
    assert cos.get_bucket_website(Bucket=bucket)["IndexDocument"]["Suffix"] == "index.html"
    assert (visit("/").status_code, visit("/").text) == (200, "index.html")
    assert visit("/docs/").text == "docs/index.html"
    assert visit("/docs").headers["Location"].endswith(f"{suffix}/docs/")
    assert visit("/old/index.html").headers["Location"].endswith("/docs/index.html")
    assert (visit("/none").status_code, visit("/none").text) == (403, "error.html")
    aws.delete_bucket_website(Bucket=bucket)
    gone = visit("/")
    assert gone.status_code == 404 and gone.headers["Content-Type"].startswith("text/html")

    site = {
        "IndexDocument": {"Suffix": "index.html"},
        "ErrorDocument": {"Key": "error.html"},
        "RoutingRules": [
            {"Condition": {"HttpErrorCodeReturnedEquals": "403"}, "Redirect": {"ReplaceKeyWith": "index.html"}}
        ],
    }
    cos.put_bucket_website(Bucket=bucket, WebsiteConfiguration=site)
    assert cos.get_bucket_website(Bucket=bucket)["ErrorDocument"]["Key"] == "error.html"
    assert visit("/none").headers["Location"].endswith("/index.html")
    cos.delete_bucket_website(Bucket=bucket)
    expect(cos_refused(cos.get_bucket_website, Bucket=bucket), 404, "NoSuchWebsiteConfiguration")
