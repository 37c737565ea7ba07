"""COS's referer list through its SDK."""

import requests

from cosclient import make_client

# What the SDK makes of an empty element.
NONE = {"RefererConfiguration": None}


def test_a_list_and_what_it_keeps_out(server, bucket):
    cos = make_client(server)
    cos.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    url = f"http://127.0.0.1:{server.port}/{bucket}/k"
    status = lambda referer: requests.get(url, headers={"Referer": referer} if referer else {}).status_code
    assert cos.get_bucket_referer(Bucket=bucket) == NONE
    assert (status(None), status("http://evil.example/")) == (200, 200)
    rules = {
        "Status": "Enabled",
        "RefererType": "White-List",
        "DomainList": {"Domain": ["*.example.com", "localhost:8080"]},
        "EmptyReferConfiguration": "Deny",
    }
    cos.put_bucket_referer(Bucket=bucket, RefererConfiguration=rules)
    assert cos.get_bucket_referer(Bucket=bucket) == rules
    assert [status(r) for r in (None, "http://evil.example/", "https://a.example.com/b")] == [403, 403, 200]
    # A signed link is shown anywhere.
    link = cos.get_presigned_url(Method="GET", Bucket=bucket, Key="k")
    assert requests.get(link, headers={"Referer": "http://evil.example/"}).status_code == 200
    cos.delete_bucket_referer(Bucket=bucket)
    assert cos.get_bucket_referer(Bucket=bucket) == NONE
    assert status("http://evil.example/") == 200
