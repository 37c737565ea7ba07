use super::*;

fn domains() -> Domains {
    Domains::new([
        ("Example.com".to_owned(), None),
        ("s3.example.com".to_owned(), Some(Dialect::S3)),
        ("10.1.2.3".to_owned(), Some(Dialect::Cos)),
    ])
}

fn at(host: &str, target: &str) -> Result<Address, AddressError> {
    resolve(&target.parse().unwrap(), Some(host), &domains())
}

/// Bucket and key as `bucket|key`, with `-` for none.
fn parts(host: &str, target: &str) -> String {
    let address = at(host, target).unwrap();
    format!(
        "{}|{}",
        address.bucket.as_deref().unwrap_or("-"),
        address.key.as_deref().unwrap_or("-")
    )
}

#[test]
fn configured_domains_local_names_and_addresses() {
    let cases = [
        ("example.com", "/", "-|-"),
        ("example.com", "/b", "b|-"),
        ("example.com", "/b/", "b|-"),
        ("EXAMPLE.com.:9000", "/b/k", "b|k"),
        ("b.example.com", "/", "b|-"),
        ("b.c.example.com", "/k/", "b.c|k/"),
        ("s3.example.com", "/b/k", "b|k"),
        ("b.s3.example.com:80", "/k", "b|k"),
        ("10.1.2.3", "/b/k", "b|k"),
        ("10.9.9.9:9000", "/b/k", "b|k"),
        ("127.0.0.1:9000", "/b/k", "b|k"),
        ("[::1]:9000", "/b/k", "b|k"),
        ("[2001:DB8::1]", "/b/k", "b|k"),
        ("localhost:9000", "/b/k", "b|k"),
        ("b.localhost:9000", "/k", "b|k"),
        ("storage", "/b/k", "b|k"),
        ("notexample.com", "/b/k", "b|k"),
    ];
    for (host, target, want) in cases {
        assert_eq!(parts(host, target), want, "{host} {target}");
    }
    assert_eq!(at("b.s3.example.com", "/").unwrap().dialect, Some(Dialect::S3));
    assert_eq!(at("10.1.2.3", "/").unwrap().dialect, Some(Dialect::Cos));
    assert_eq!(at("example.com", "/").unwrap().dialect, None);
}

#[test]
fn keys_are_decoded_once_and_never_normalised() {
    let cases = [
        ("//k", "/k"),
        ("/%2Fk", "/k"),
        ("/a//b/", "a//b/"),
        ("/./../a/..", "./../a/.."),
        ("/a+b%20c%2Bd", "a+b c+d"),
        ("/%252F", "%2F"),
        ("/%E4%BD%A0", "你"),
        ("/%3Fx?acl", "?x"),
    ];
    for (target, want) in cases {
        assert_eq!(at("b.localhost", target).unwrap().key.unwrap(), want);
        let path_style = format!("/b{target}");
        assert_eq!(at("localhost", &path_style).unwrap().key.unwrap(), want);
    }
    assert_eq!(parts("localhost", "//k"), "|k");
    for target in ["/%", "/a%zz", "/%ff"] {
        assert!(matches!(at("b.localhost", target), Err(AddressError::Path(_))));
    }
    assert!(matches!(at("localhost", "/%ff"), Err(AddressError::Path(_))));
}

#[test]
fn cos_hosts() {
    use Endpoint::{Accelerate, Rest, Service, Website};
    let cases = [
        ("b-125.cos.ap-beijing.myqcloud.com", Rest, "b-125", "ap-beijing"),
        ("b-125.cos-internal.ap-x.tencentcos.cn:443", Rest, "b-125", "ap-x"),
        ("b-125.cosv6.ap-x.myqcloud.com", Rest, "b-125", "ap-x"),
        ("cos.ap-beijing.myqcloud.com", Rest, "", "ap-beijing"),
        ("cos.ap-beijing.tencentcos.cn", Rest, "", "ap-beijing"),
        ("service.cos.myqcloud.com", Service, "", ""),
        ("service.cos.tencentcos.cn", Service, "", ""),
        ("b-125.cos.accelerate.myqcloud.com", Accelerate, "b-125", ""),
        ("b-125.cos-internal.accelerate.tencentcos.cn", Accelerate, "b-125", ""),
        ("cos.accelerate.myqcloud.com", Accelerate, "", ""),
        ("b-125.cos-website.ap-x.myqcloud.com", Website, "b-125", "ap-x"),
        ("b-125.cossh.myqcloud.com", Rest, "b-125", "ap-shanghai"),
        ("b-125.cn-south.myqcloud.com", Rest, "b-125", "ap-guangzhou"),
        ("sg.myqcloud.com", Rest, "", "ap-singapore"),
    ];
    for (host, endpoint, bucket, region) in cases {
        let address = at(host, "/").unwrap();
        assert_eq!(address.dialect, Some(Dialect::Cos), "{host}");
        assert_eq!(address.endpoint, endpoint, "{host}");
        assert_eq!(address.bucket.as_deref().unwrap_or(""), bucket, "{host}");
        assert_eq!(address.region.as_deref().unwrap_or(""), region, "{host}");
    }
    assert_eq!(parts("b-125.cos.ap-beijing.myqcloud.com", "/a/b"), "b-125|a/b");
    assert_eq!(parts("cos.ap-beijing.myqcloud.com", "/b-125/k"), "b-125|k");
    assert_eq!(at("b.cos-website.r.myqcloud.com", "/x").unwrap().shape, Shape::Website);
}

#[test]
fn cos_batch_and_fetch_hosts() {
    let host = "100000000001.cos-control.ap-beijing.myqcloud.com";
    let cases = [
        ("/jobs", Shape::Jobs),
        ("/jobs/1-2", Shape::Job),
        ("/jobs/1-2/priority", Shape::JobPriority),
        ("/jobs/1-2/status", Shape::JobStatus),
        ("/jobs/1-2/other", Shape::UnknownJobPath),
        ("/", Shape::UnknownJobPath),
    ];
    for (target, shape) in cases {
        assert_eq!(at(host, target).unwrap().shape, shape, "{target}");
    }
    let fetch = "ap-beijing.migration.myqcloud.com";
    assert_eq!(at(fetch, "/b-125/").unwrap().shape, Shape::FetchQueue);
    let task = at(fetch, "/b-125/task").unwrap();
    assert_eq!(task.shape, Shape::FetchTask);
    assert_eq!((task.bucket.as_deref(), task.key.as_deref()), (Some("b-125"), Some("task")));
}

#[test]
fn s3_hosts() {
    use Endpoint::{Accelerate, Rest, Website};
    let cases = [
        ("s3.amazonaws.com", Rest, "", ""),
        ("s3.us-east-1.amazonaws.com", Rest, "", "us-east-1"),
        ("b.s3.amazonaws.com", Rest, "b", ""),
        ("b.s3.eu-west-1.amazonaws.com", Rest, "b", "eu-west-1"),
        ("b.s3-eu-west-1.amazonaws.com", Rest, "b", "eu-west-1"),
        ("b.s3.dualstack.eu-west-1.amazonaws.com", Rest, "b", "eu-west-1"),
        ("b.s3.cn-north-1.amazonaws.com.cn", Rest, "b", "cn-north-1"),
        ("my.s3.logs.s3.us-east-1.amazonaws.com", Rest, "my.s3.logs", "us-east-1"),
        ("b.s3-accelerate.amazonaws.com", Accelerate, "b", ""),
        ("b.s3-website-us-east-1.amazonaws.com", Website, "b", "us-east-1"),
        ("b.s3-website.us-east-2.amazonaws.com", Website, "b", "us-east-2"),
    ];
    for (host, endpoint, bucket, region) in cases {
        let address = at(host, "/").unwrap();
        assert_eq!(address.dialect, Some(Dialect::S3), "{host}");
        assert_eq!(address.endpoint, endpoint, "{host}");
        assert_eq!(address.bucket.as_deref().unwrap_or(""), bucket, "{host}");
        assert_eq!(address.region.as_deref().unwrap_or(""), region, "{host}");
    }
}

#[test]
fn absolute_targets_only_for_served_hosts() {
    let cos = "http://b-125.cos.ap-x.myqcloud.com/a?acl";
    assert_eq!(parts("proxy:9000", cos), "b-125|a");
    assert_eq!(parts("other.example.com", "http://b.example.com:80/k"), "b|k");
    assert_eq!(parts("x", "http://127.0.0.1:9000/b/k"), "b|k");
    assert_eq!(parts("x", "http://10.1.2.3/b/k"), "b|k");
    for foreign in [
        "http://www.example.org/",
        "http://10.9.9.9/b/k",
        "http://169.254.169.254/latest/meta-data",
        "http://metadata.tencentyun.com/",
        "http://evil.myqcloud.com.example.org/",
        "http://evilexample.com/b",
        "www.example.org:443",
        "ftp://b.example.com/k",
    ] {
        assert!(
            matches!(at("example.com", foreign), Err(AddressError::ForeignHost(_))),
            "{foreign}"
        );
    }
}

#[test]
fn malformed_hosts_are_refused() {
    let none = resolve(&"/".parse().unwrap(), None, &domains());
    assert_eq!(none, Err(AddressError::MissingHost));
    for host in [
        "",
        ".",
        ":9000",
        "a b",
        "a/b",
        "a:b",
        "a:123456",
        "a:1:2",
        "[::1",
        "[10.0.0.1]",
        "[::1]x",
        "ä",
    ] {
        assert_eq!(at(host, "/"), Err(AddressError::BadHost), "{host}");
    }
}

#[test]
fn the_asterisk_target_is_the_service() {
    assert_eq!(at("localhost", "*").unwrap().shape, Shape::Service);
    assert_eq!(at("example.com", "/").unwrap().shape, Shape::Service);
    assert_eq!(at("example.com", "/b").unwrap().shape, Shape::Bucket);
    assert_eq!(at("example.com", "/b/k").unwrap().shape, Shape::Object);
}

#[test]
fn websites_have_domains_of_their_own() {
    let domains = domains()
        .with_website("web.Example.com", None)
        .with_website("www.other.org", Some("b".into()));
    let at = |host: &str, target: &str| {
        let address = resolve(&target.parse().unwrap(), Some(host), &domains).unwrap();
        (address.endpoint, address.bucket, address.key)
    };
    let some = |text: &str| Some(text.to_owned());
    let website =
        |bucket: &str, key: Option<&str>| (Endpoint::Website, some(bucket), key.map(str::to_owned));
    assert_eq!(at("a.web.example.com:80", "/"), website("a", None));
    assert_eq!(at("a.b.web.example.com", "/x/y"), website("a.b", Some("x/y")));
    assert_eq!(at("WWW.other.org", "/x"), website("b", Some("x")));
    // Of other names below them nothing is said, or what the domain around them says.
    assert_eq!(at("web.example.com", "/k"), (Endpoint::Rest, some("web"), some("k")));
    assert_eq!(at("a.www.other.org", "/b/k"), (Endpoint::Rest, some("b"), some("k")));
}
