//! Static websites: their settings in both dialects, and what visitors get.

use costrel_protocol::dialect::Dialect;
use tokio::time::Instant;

use crate::client::{Answer, Call, Signing, delete, get, head, post, put};
use crate::world::{BUCKET, World};

const HOSTS: [(Dialect, &str); 2] = [
    (Dialect::Cos, "cos-website.ap-guangzhou.myqcloud.com"),
    (Dialect::S3, "s3-website.ap-guangzhou.amazonaws.com"),
];

fn site(dialect: Dialect, inner: &str) -> Call {
    let body = format!("<WebsiteConfiguration>{inner}</WebsiteConfiguration>");
    put(dialect, &format!("/{BUCKET}")).query("website", "").body(body)
}

fn shown(dialect: Dialect) -> Call {
    get(dialect, &format!("/{BUCKET}")).query("website", "")
}

const INDEX: &str = "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>";
const ERROR: &str = "<ErrorDocument><Key>error.html</Key></ErrorDocument>";

fn rule(condition: &str, redirect: &str) -> String {
    let condition = match condition {
        "" => String::new(),
        condition => format!("<Condition>{condition}</Condition>"),
    };
    format!("<RoutingRule>{condition}<Redirect>{redirect}</Redirect></RoutingRule>")
}

fn rules(rules: &[String]) -> String {
    format!("<RoutingRules>{}</RoutingRules>", rules.concat())
}

/// A visitor's request.
fn visit(host: &str, path: &str) -> Call {
    get(Dialect::S3, path).host(&format!("{BUCKET}.{host}")).signing(Signing::Nothing)
}

async fn with_pages() -> World {
    let world = World::with_bucket().await;
    for key in ["index.html", "error.html", "docs/index.html", "about.html", "moved/page"] {
        let call = put(Dialect::S3, &format!("/{BUCKET}/{key}")).body(key);
        let call = call.header("x-amz-acl", "public-read").header("Content-Type", "text/html");
        call.send(&world).await.ok();
    }
    put(Dialect::S3, &format!("/{BUCKET}/private")).body("closed").send(&world).await.ok();
    world
}

#[track_caller]
fn is_page(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.dump());
    assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(answer.text().contains(&format!("<li>Code: {code}</li>")), "{}", answer.dump());
}

#[tokio::test(start_paused = true)]
async fn visits_keep_to_a_speed_limit() {
    const LIMIT: &str = "x-cos-traffic-limit";
    let world = with_pages().await;
    site(Dialect::Cos, INDEX).send(&world).await.ok();
    let large = put(Dialect::S3, &format!("/{BUCKET}/large")).body(vec![b'x'; 1 << 20]);
    large.header("x-amz-acl", "public-read").send(&world).await.ok();
    let cos = || visit(HOSTS[0].1, "/large");
    for call in [cos().query(LIMIT, "819200"), cos().header(LIMIT, "819200")] {
        let begun = Instant::now();
        assert_eq!(call.send(&world).await.ok().body.len(), 1 << 20);
        let took = begun.elapsed().as_secs_f64();
        assert!((10.0..10.4).contains(&took), "{took}");
    }
}

#[tokio::test]
async fn a_website_is_set_shown_and_taken_back() {
    let world = World::with_bucket().await;
    let moved = rule(
        "<HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals>\
         <KeyPrefixEquals>a/</KeyPrefixEquals>",
        "<Protocol>https</Protocol><ReplaceKeyPrefixWith>b/</ReplaceKeyPrefixWith>",
    );
    for dialect in Dialect::ALL {
        shown(dialect).send(&world).await.refused(404, "NoSuchWebsiteConfiguration");
        let good = format!("{INDEX}{ERROR}{}", rules(std::slice::from_ref(&moved)));
        site(dialect, &good).send(&world).await.ok();
        for shows in Dialect::ALL {
            let read = shown(shows).send(&world).await;
            for (name, value) in [
                ("Suffix", "index.html"),
                ("Key", "error.html"),
                ("HttpErrorCodeReturnedEquals", "404"),
                ("KeyPrefixEquals", "a/"),
                ("Protocol", "https"),
                ("ReplaceKeyPrefixWith", "b/"),
            ] {
                assert_eq!(read.element(name).as_deref(), Some(value), "{}", read.dump());
            }
        }
        let stored = shown(dialect).send(&world).await.text().to_owned();
        let to = "<ReplaceKeyWith>x</ReplaceKeyWith>";
        let with = |rule: String| format!("{INDEX}{}", rules(&[rule]));
        for (bad, code) in [
            (String::new(), "InvalidArgument"),
            (ERROR.to_owned(), "InvalidArgument"),
            (INDEX.replace("index", "a/index"), "InvalidArgument"),
            (with(rule("", &format!("{to}<ReplaceKeyPrefixWith/>"))), "InvalidArgument"),
            (with(rule("", "")), "InvalidArgument"),
            (with(rule("", &format!("{to}<Protocol>ftp</Protocol>"))), "InvalidArgument"),
            (
                with(rule("", &format!("{to}<HttpRedirectCode>200</HttpRedirectCode>"))),
                "InvalidArgument",
            ),
            (format!("{INDEX}{}", rules(&vec![rule("", to); 101])), "InvalidArgument"),
            (format!("{INDEX}{INDEX}"), "MalformedXML"),
            ("<IndexDocument/>".to_owned(), "MalformedXML"),
            (format!("{INDEX}<ErrorDocument/>"), "MalformedXML"),
            (format!("{INDEX}<Other/>"), "MalformedXML"),
            (with("<RoutingRule/>".to_owned()), "MalformedXML"),
            (with(rule("<KeyPrefixEquals/><Other/>", to)), "MalformedXML"),
            (
                with(rule("<HttpErrorCodeReturnedEquals>x</HttpErrorCodeReturnedEquals>", to)),
                "MalformedXML",
            ),
        ] {
            site(dialect, &bad).send(&world).await.refused(400, code);
            assert_eq!(shown(dialect).send(&world).await.text(), stored);
        }
        for _ in 0..2 {
            let gone = delete(dialect, &format!("/{BUCKET}")).query("website", "");
            assert_eq!(gone.send(&world).await.status, 204);
        }
    }
}

#[tokio::test]
async fn visitors_get_pages() {
    for (dialect, host) in HOSTS {
        let world = with_pages().await;
        is_page(&visit(host, "/").send(&world).await, 404, "NoSuchWebsiteConfiguration");
        let nowhere = visit(host, "/").host(&format!("nowhere-1250000000.{host}"));
        is_page(&nowhere.send(&world).await, 404, "NoSuchWebsiteConfiguration");
        site(dialect, INDEX).send(&world).await.ok();
        for (path, page) in
            [("/", "index.html"), ("/docs/", "docs/index.html"), ("/about.html", "about.html")]
        {
            let answer = visit(host, path).send(&world).await;
            assert_eq!((answer.status, answer.text()), (200, page), "{}", answer.dump());
            assert_eq!(answer.header("Content-Type"), Some("text/html"));
            assert_eq!(visit(host, path).method("HEAD").send(&world).await.status, 200);
            let etag = answer.header("ETag").unwrap();
            let again = visit(host, path).header("If-None-Match", etag).send(&world).await;
            assert_eq!(again.status, 304);
        }
        let folder = visit(host, "/docs").send(&world).await;
        assert_eq!(folder.status, 302);
        let to = format!("http://{BUCKET}.{host}/docs/");
        assert_eq!(folder.header("Location"), Some(to.as_str()));
        // Who may not list learns nothing of what is not there.
        is_page(&visit(host, "/none").send(&world).await, 403, "AccessDenied");
        is_page(&visit(host, "/private").send(&world).await, 403, "AccessDenied");
        // Nobody is anybody here, whatever he signs or asks for besides.
        let signed = visit(host, "/private").signing(Signing::V4);
        is_page(&signed.send(&world).await, 403, "AccessDenied");
        let more = visit(host, "/about.html").query("acl", "").query("response-expires", "x");
        assert_eq!(more.send(&world).await.text(), "about.html");
        for method in ["PUT", "POST", "DELETE"] {
            let answer = visit(host, "/new").method(method).body("x").send(&world).await;
            is_page(&answer, 405, "MethodNotAllowed");
        }
        // At its own address the bucket is none.
        let plain = get(dialect, &format!("/{BUCKET}/docs")).send(&world).await;
        plain.refused(404, "NoSuchKey");

        site(dialect, &format!("{INDEX}{ERROR}")).send(&world).await.ok();
        let answer = visit(host, "/none").header("Range", "bytes=0-1").send(&world).await;
        assert_eq!((answer.status, answer.text()), (403, "error.html"));
        let list = put(dialect, &format!("/{BUCKET}")).query("acl", "");
        list.header(&[dialect.headers().prefix, "acl"].concat(), "public-read")
            .send(&world)
            .await
            .ok();
        let answer = visit(host, "/none").send(&world).await;
        assert_eq!((answer.status, answer.text()), (404, "error.html"));
        let gone = delete(dialect, &format!("/{BUCKET}/error.html")).send(&world).await;
        assert_eq!(gone.status, 204);
        is_page(&visit(host, "/none").send(&world).await, 404, "NoSuchKey");
        let record = world.records.all().pop().unwrap();
        assert_eq!((record.operation, record.code), ("VisitWebsite", Some("NoSuchKey")));
        assert_eq!(head(dialect, &format!("/{BUCKET}/none")).send(&world).await.status, 404);
    }
}

#[tokio::test]
async fn visitors_are_sent_elsewhere() {
    for (dialect, host) in HOSTS {
        let world = with_pages().await;
        let here = format!("http://{BUCKET}.{host}");
        let by_prefix = rule(
            "<KeyPrefixEquals>old/</KeyPrefixEquals>",
            "<ReplaceKeyPrefixWith>moved/</ReplaceKeyPrefixWith>",
        );
        let elsewhere = rule(
            "<KeyPrefixEquals>away</KeyPrefixEquals>",
            "<HostName>other.example</HostName><Protocol>https</Protocol>\
             <HttpRedirectCode>307</HttpRedirectCode>",
        );
        let by_error = rule(
            "<HttpErrorCodeReturnedEquals>403</HttpErrorCodeReturnedEquals>",
            "<ReplaceKeyWith>sorry \u{4e2d}.html</ReplaceKeyWith>",
        );
        let inner = format!("{INDEX}{}", rules(&[by_prefix, elsewhere, by_error]));
        site(dialect, &inner).send(&world).await.ok();
        let usual = if dialect == Dialect::Cos { 302 } else { 301 };
        for (path, status, location) in [
            ("/old/page", usual, format!("{here}/moved/page")),
            ("/away/x", 307, "https://other.example/away/x".to_owned()),
            ("/none", usual, format!("{here}/sorry%20%E4%B8%AD.html")),
        ] {
            let answer = visit(host, path).send(&world).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.dump());
            assert_eq!(answer.header("Location"), Some(location.as_str()));
        }
        assert_eq!(visit(host, "/").send(&world).await.text(), "index.html");

        let all = match dialect {
            Dialect::Cos => format!(
                "{INDEX}<RedirectAllRequestsTo><Protocol>https</Protocol></RedirectAllRequestsTo>"
            ),
            Dialect::S3 => "<RedirectAllRequestsTo><HostName>new.example</HostName>\
                            </RedirectAllRequestsTo>"
                .to_owned(),
        };
        site(dialect, &all).send(&world).await.ok();
        let answer = visit(host, "/docs/a").send(&world).await;
        assert_eq!(answer.status, 301);
        let location = match dialect {
            Dialect::Cos => format!("https://{BUCKET}.{host}/docs/a"),
            Dialect::S3 => "http://new.example/docs/a".to_owned(),
        };
        assert_eq!(answer.header("Location"), Some(location.as_str()));
    }
    // COS: pages without their extension, and errors that look like successes.
    let (dialect, host) = HOSTS[0];
    let world = with_pages().await;
    let inner = format!(
        "{INDEX}<AutoAddressing><Status>Enabled</Status></AutoAddressing>{}",
        ERROR.replace("</Key>", "</Key><OriginalHttpStatus>Disabled</OriginalHttpStatus>")
    );
    site(dialect, &inner).send(&world).await.ok();
    assert_eq!(visit(host, "/about").send(&world).await.text(), "about.html");
    let answer = visit(host, "/none").send(&world).await;
    assert_eq!((answer.status, answer.text()), (200, "error.html"));
}

/// An object may have a place that its visitors are sent to; a copy has none but its own.
#[tokio::test]
async fn objects_send_their_visitors_elsewhere() {
    for (dialect, host) in HOSTS {
        let world = with_pages().await;
        site(dialect, INDEX).send(&world).await.ok();
        let names = dialect.headers();
        let name = names.website_redirect_location.as_str();
        let open = |call: Call| call.header(names.acl.as_str(), "public-read");
        let path = |key: &str| format!("/{BUCKET}/{key}");
        for (key, place) in [
            ("here", "/docs/"),
            ("away", "https://other.example/a%20b?c#d"),
            ("docs/index.html", "/about.html"),
        ] {
            let made = open(put(dialect, &path(key))).header(name, place).body("unseen");
            made.send(&world).await.ok();
            let read = get(dialect, &path(key)).send(&world).await;
            assert_eq!((read.ok().text(), read.header(name)), ("unseen", Some(place)));
            let at = if key == "docs/index.html" { "docs/" } else { key };
            for method in ["GET", "HEAD"] {
                let sent = visit(host, &format!("/{at}")).method(method).send(&world).await;
                assert_eq!((sent.status, &sent.body[..]), (301, &b""[..]), "{}", sent.dump());
                let here = format!("http://{BUCKET}.{host}");
                let full = if place.starts_with('/') { here + place } else { place.to_owned() };
                assert_eq!(sent.header("Location"), Some(full.as_str()));
            }
        }
        let source = match dialect {
            Dialect::S3 => path("here"),
            Dialect::Cos => format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com/here"),
        };
        let copy =
            |at: &str| open(put(dialect, &path(at))).header(names.copy_source.as_str(), &source);
        copy("plain").send(&world).await.ok();
        assert_eq!(head(dialect, &path("plain")).send(&world).await.header(name), None);
        assert_eq!(visit(host, "/plain").send(&world).await.text(), "unseen");
        copy("sent").header(name, "/x").send(&world).await.ok();
        assert_eq!(head(dialect, &path("sent")).send(&world).await.header(name), Some("/x"));
        // It is something that a copy of an object onto itself may change.
        copy("here").header(name, "/y").send(&world).await.ok();
        assert_eq!(head(dialect, &path("here")).send(&world).await.header(name), Some("/y"));

        let begun = post(dialect, &path("parts")).query("uploads", "").header(name, "/z");
        let upload = begun.send(&world).await.ok().element("UploadId").unwrap();
        let part = put(dialect, &path("parts")).query("partNumber", "1").query("uploadId", &upload);
        part.clone().header(name, "/z").body("x").send(&world).await.refused(501, "NotImplemented");
        let etag = part.body("x").send(&world).await.ok().header("ETag").unwrap().to_owned();
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
             </CompleteMultipartUpload>"
        );
        let whole = post(dialect, &path("parts")).query("uploadId", &upload).body(list);
        whole.send(&world).await.ok();
        assert_eq!(head(dialect, &path("parts")).send(&world).await.header(name), Some("/z"));

        let stored = world.stored().await;
        for wrong in ["x", "ftp://x", "javascript:alert(1)", &format!("/{}", "x".repeat(2048))] {
            let made = put(dialect, &path("wrong")).header(name, wrong).body("x");
            made.send(&world).await.refused(400, "InvalidRedirectLocation");
        }
        assert_eq!(world.stored().await, stored);
    }
}

#[tokio::test]
async fn domains_of_ones_own_are_websites() {
    let world = with_pages().await;
    site(Dialect::S3, INDEX).send(&world).await.ok();
    for host in ["www.example", &format!("{BUCKET}.web.example:9000")] {
        let answer = visit("", "/").host(host).send(&world).await;
        assert_eq!(
            (answer.ok().text(), answer.header("Content-Type")),
            ("index.html", Some("text/html"))
        );
        is_page(&visit("", "/private").host(host).send(&world).await, 403, "AccessDenied");
        let folder = visit("", "/docs").host(host).send(&world).await;
        assert_eq!(folder.header("Location"), Some(format!("http://{host}/docs/").as_str()));
    }
    let nowhere = visit("", "/").host("nowhere-1250000000.web.example");
    is_page(&nowhere.send(&world).await, 404, "NoSuchWebsiteConfiguration");
}
