//! Pages of other origins: a bucket's rules, preflights, and what answers say.

use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, Call, Signing, delete, get, head, put};
use crate::world::{BUCKET, World};

const PAGE: &str = "https://page.example";

fn bucket() -> String {
    format!("/{BUCKET}")
}

fn object() -> String {
    format!("/{BUCKET}/key")
}

fn configuration(rules: &[&str]) -> String {
    let rules: String = rules.iter().map(|rule| format!("<CORSRule>{rule}</CORSRule>")).collect();
    format!("<CORSConfiguration>{rules}</CORSConfiguration>")
}

fn rule(origin: &str, method: &str) -> String {
    format!("<AllowedOrigin>{origin}</AllowedOrigin><AllowedMethod>{method}</AllowedMethod>")
}

fn set(dialect: Dialect, document: &str) -> Call {
    put(dialect, &bucket()).query("cors", "").body(document)
}

fn preflight(dialect: Dialect, path: &str, origin: &str, method: &str) -> Call {
    let call = put(dialect, path).method("OPTIONS").signing(Signing::Nothing);
    call.header("Origin", origin).header("Access-Control-Request-Method", method)
}

fn origin_of(answer: &Answer) -> Option<&str> {
    answer.header("Access-Control-Allow-Origin")
}

#[tokio::test]
async fn rules_are_set_shown_and_taken_back() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let show = |dialect| get(dialect, &bucket()).query("cors", "");
        show(dialect).send(&world).await.refused(404, "NoSuchCORSConfiguration");
        let full = "<ID>mine</ID><AllowedOrigin>http://a</AllowedOrigin>\
                    <AllowedOrigin>http://*.b</AllowedOrigin><AllowedMethod>GET</AllowedMethod>\
                    <AllowedMethod>PUT</AllowedMethod><AllowedHeader>*</AllowedHeader>\
                    <ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>600</MaxAgeSeconds>";
        let document = configuration(&[full, &rule("*", "HEAD")]);
        set(dialect, &document).send(&world).await.ok();
        for reader in Dialect::ALL {
            let shown = show(reader).send(&world).await;
            shown.ok();
            assert_eq!(shown.elements("ID"), ["mine"]);
            assert_eq!(shown.elements("AllowedOrigin"), ["http://a", "http://*.b", "*"]);
            assert_eq!(shown.elements("AllowedMethod"), ["GET", "PUT", "HEAD"]);
            assert_eq!(shown.elements("AllowedHeader"), ["*"]);
            assert_eq!(shown.elements("ExposeHeader"), ["ETag"]);
            assert_eq!(shown.elements("MaxAgeSeconds"), ["600"]);
            let vary = if dialect == Dialect::S3 { "true" } else { "false" };
            let vary = (reader == Dialect::Cos).then(|| vary.to_owned());
            assert_eq!(shown.element("ResponseVary"), vary);
        }
        // All of them are replaced.
        set(dialect, &configuration(&[&rule("*", "HEAD")])).send(&world).await.ok();
        assert_eq!(show(dialect).send(&world).await.elements("AllowedMethod"), ["HEAD"]);
        for _ in 0..2 {
            let gone = delete(dialect, &bucket()).query("cors", "").send(&world).await;
            assert_eq!(gone.status, 204);
        }
        show(dialect).send(&world).await.refused(404, "NoSuchCORSConfiguration");
        // A bucket of the same name has nothing of it.
        set(dialect, &document).send(&world).await.ok();
        delete(dialect, &bucket()).send(&world).await;
        world.make_bucket(BUCKET).await;
        show(dialect).send(&world).await.refused(404, "NoSuchCORSConfiguration");
    }
}

#[tokio::test]
async fn what_is_refused_leaves_the_old_rules() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let good = rule("http://a", "GET");
        set(dialect, &configuration(&[&good])).send(&world).await.ok();
        let stored = world.stored().await;
        let fault = if dialect == Dialect::S3 { "InvalidRequest" } else { "InvalidArgument" };
        let with = |more: &str| configuration(&[&format!("{good}{more}")]);
        for (document, code) in [
            ("no xml".to_owned(), "MalformedXML"),
            (configuration(&[]), "MalformedXML"),
            (configuration(&["<AllowedMethod>GET</AllowedMethod>"]), "MalformedXML"),
            (configuration(&["<AllowedOrigin>*</AllowedOrigin>"]), "MalformedXML"),
            (with("<AllowedOrigin/>"), "MalformedXML"),
            (with("<MaxAgeSeconds>-1</MaxAgeSeconds>"), "MalformedXML"),
            (with("<MaxAgeSeconds>4294967296</MaxAgeSeconds>"), "MalformedXML"),
            (
                with("<MaxAgeSeconds>1</MaxAgeSeconds><MaxAgeSeconds>2</MaxAgeSeconds>"),
                "MalformedXML",
            ),
            (with("<Other>x</Other>"), "MalformedXML"),
            (with("<AllowedMethod>OPTIONS</AllowedMethod>"), fault),
            (with("<AllowedMethod>get</AllowedMethod>"), fault),
            (with("<AllowedOrigin>http://*.*</AllowedOrigin>"), fault),
            (with("<AllowedHeader>*-*</AllowedHeader>"), fault),
            (with("<ExposeHeader>x-cos-*</ExposeHeader>"), fault),
            (with("<ExposeHeader>a&#13;&#10;b</ExposeHeader>"), fault),
            (with(&format!("<ID>{}</ID>", "i".repeat(256))), fault),
            (configuration(&vec![good.as_str(); 101]), fault),
        ] {
            set(dialect, &document).send(&world).await.refused(400, code);
        }
        set(dialect, "").send(&world).await.refused(400, "MissingRequestBodyError");
        assert_eq!(world.stored().await, stored);
        set(dialect, &configuration(&vec![good.as_str(); 100])).send(&world).await.ok();
    }
}

#[tokio::test]
async fn preflights() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let page = preflight(dialect, &object(), PAGE, "PUT");
        page.send(&world).await.refused(403, "AccessForbidden");
    }
    let full = "<AllowedOrigin>https://*.example</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>\
                <AllowedMethod>GET</AllowedMethod><AllowedHeader>x-*</AllowedHeader>\
                <AllowedHeader>Content-Type</AllowedHeader><ExposeHeader>ETag</ExposeHeader>\
                <ExposeHeader>x-cos-request-id</ExposeHeader><MaxAgeSeconds>5</MaxAgeSeconds>";
    let document = configuration(&[full, &rule("*", "HEAD")]);
    set(Dialect::S3, &document).send(&world).await.ok();
    for dialect in Dialect::ALL {
        for path in [bucket(), object()] {
            let answer = preflight(dialect, &path, PAGE, "PUT")
                .header("Access-Control-Request-Headers", "content-type, X-Any")
                .send(&world)
                .await;
            assert_eq!((answer.status, answer.text()), (200, ""), "{}", answer.dump());
            for (name, value) in [
                ("Origin", PAGE),
                ("Credentials", "true"),
                ("Methods", "PUT, GET"),
                ("Headers", "content-type, X-Any"),
            ] {
                let name = format!("Access-Control-Allow-{name}");
                assert_eq!(answer.header(&name), Some(value), "{name}");
            }
            let exposed = answer.header("Access-Control-Expose-Headers");
            assert_eq!(exposed, Some("ETag, x-cos-request-id"));
            assert_eq!(answer.header("Access-Control-Max-Age"), Some("5"));
            let varies = answer.header("Vary").unwrap();
            assert!(varies.starts_with("Origin"), "{varies}");
        }
        let anyone = preflight(dialect, &object(), "null", "HEAD").send(&world).await;
        assert_eq!(origin_of(anyone.ok()), Some("*"));
        assert_eq!(anyone.header("Access-Control-Allow-Credentials"), None);
        for (origin, method, headers) in [
            ("https://example", "PUT", ""),
            ("http://page.example", "PUT", ""),
            (PAGE, "DELETE", ""),
            (PAGE, "PUT", "x-a, authorization"),
            (PAGE, "HEAD", "x-a"),
        ] {
            let call = preflight(dialect, &object(), origin, method);
            let call = call.header("Access-Control-Request-Headers", headers);
            let answer = call.send(&world).await;
            answer.refused(403, "AccessForbidden");
            assert_eq!(origin_of(&answer), None);
        }
        // They have the query of what they ask for, whatever that is.
        for (name, value) in [("uploads", ""), ("acl", ""), ("sign", "x"), ("imageInfo", "")] {
            let call = preflight(dialect, &object(), PAGE, "PUT").query(name, value);
            assert_eq!(origin_of(call.send(&world).await.ok()), Some(PAGE), "{name}");
        }
        let code = if dialect == Dialect::S3 { "BadRequest" } else { "InvalidRequest" };
        let bare = || put(dialect, &object()).method("OPTIONS").signing(Signing::Nothing);
        bare().send(&world).await.refused(400, code);
        bare().header("Origin", PAGE).send(&world).await.refused(400, code);
        preflight(dialect, &object(), PAGE, "PATCH").send(&world).await.refused(400, code);
        let many = vec!["x-a"; 257].join(",");
        let many = preflight(dialect, &object(), PAGE, "PUT")
            .header("Access-Control-Request-Headers", &many);
        many.send(&world).await.refused(403, "AccessForbidden");
        // Nobody learns from one which buckets there are.
        let missing = preflight(dialect, "/no-such-bucket-1250000000/key", PAGE, "PUT");
        let missing = missing.send(&world).await;
        missing.refused(403, "AccessForbidden");
        let closed = "/closed-1250000000";
        put(dialect, closed).send(&world).await;
        let closed = preflight(dialect, &format!("{closed}/key"), PAGE, "PUT").send(&world).await;
        assert_eq!(closed.element("Message"), missing.element("Message"));
    }
}

#[tokio::test]
async fn answers_name_the_origin() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &object()).body("data").send(&world).await.ok();
    let full = format!("{}<ExposeHeader>ETag</ExposeHeader>", rule(PAGE, "GET"));
    let document = configuration(&[&full, &rule("*", "HEAD"), &rule("http://*", "PUT")]);
    set(Dialect::Cos, &document).send(&world).await.ok();
    for dialect in Dialect::ALL {
        let from = |call: Call, origin: &str| call.header("Origin", origin);
        let read = from(get(dialect, &object()), PAGE).send(&world).await;
        assert_eq!((read.ok().text(), origin_of(&read)), ("data", Some(PAGE)));
        assert_eq!(read.header("Access-Control-Expose-Headers"), Some("ETag"));
        assert_eq!(read.header("Access-Control-Allow-Methods"), Some("GET"));
        assert_eq!(read.header("Access-Control-Allow-Credentials"), Some("true"));
        let told = from(head(dialect, &object()), PAGE).send(&world).await;
        assert_eq!(origin_of(&told), Some("*"));
        let listed = from(get(dialect, &bucket()), PAGE).send(&world).await;
        assert_eq!(origin_of(listed.ok()), Some(PAGE));
        // Served, but not for a page to see.
        let other = from(get(dialect, &object()), "http://other").send(&world).await;
        assert_eq!((other.ok().text(), origin_of(&other)), ("data", None));
        let none = get(dialect, &object()).send(&world).await;
        assert_eq!((none.ok().text(), origin_of(&none)), ("data", None));
        // An error is an answer, too.
        let missing = from(get(dialect, &format!("{}-none", object())), PAGE).send(&world).await;
        assert_eq!((missing.status, origin_of(&missing)), (404, Some(PAGE)));
        let unsigned = from(get(dialect, &object()).signing(Signing::Nothing), PAGE);
        let unsigned = unsigned.send(&world).await;
        assert_eq!((unsigned.status, origin_of(&unsigned)), (403, Some(PAGE)));
        let unsigned = from(put(dialect, &object()).signing(Signing::Nothing), "http://x");
        let unsigned = unsigned.send(&world).await;
        assert_eq!((unsigned.status, origin_of(&unsigned)), (403, Some("http://x")));
        // S3's answers always say that they depend on the origin, also to others.
        let varies = dialect == Dialect::S3;
        for answer in [&read, &other, &none, &missing] {
            assert_eq!(answer.header("Vary").is_some(), varies);
        }
    }
    let vary = document.replace("</CORSC", "<ResponseVary>true</ResponseVary></CORSC");
    set(Dialect::Cos, &vary).send(&world).await.ok();
    let none = get(Dialect::Cos, &object()).send(&world).await;
    assert!(none.header("Vary").unwrap().starts_with("Origin"));
    delete(Dialect::S3, &bucket()).query("cors", "").send(&world).await;
    let read = get(Dialect::S3, &object()).header("Origin", PAGE).send(&world).await;
    assert_eq!((origin_of(read.ok()), read.header("Vary")), (None, None));
}

/// What the browser SDK of COS does: a preflight before each request that is not
/// simple, and then the request, of which it needs the `ETag`.
#[tokio::test]
async fn a_browser_uploads_in_parts() {
    let world = World::with_bucket().await;
    let methods = "<AllowedMethod>PUT</AllowedMethod><AllowedMethod>GET</AllowedMethod>\
                   <AllowedMethod>POST</AllowedMethod><AllowedMethod>DELETE</AllowedMethod>\
                   <AllowedMethod>HEAD</AllowedMethod><AllowedHeader>*</AllowedHeader>\
                   <ExposeHeader>ETag</ExposeHeader><ExposeHeader>x-cos-request-id</ExposeHeader>";
    let document = configuration(&[&format!("<AllowedOrigin>*</AllowedOrigin>{methods}")]);
    set(Dialect::Cos, &document).send(&world).await.ok();
    let ask = async |call: Call, method: &'static str| {
        let asked = call.clone().method("OPTIONS").signing(Signing::Nothing).body("");
        let asked = asked.header("Origin", PAGE).header("Access-Control-Request-Method", method);
        let names = "authorization,content-type,x-cos-meta-a";
        let asked = asked.header("Access-Control-Request-Headers", names).send(&world).await;
        assert_eq!(origin_of(asked.ok()), Some("*"));
        assert_eq!(
            asked.header("Access-Control-Allow-Headers"),
            Some("authorization, content-type, x-cos-meta-a")
        );
        let answer = call.method(method).header("Origin", PAGE).send(&world).await;
        assert_eq!(origin_of(answer.ok()), Some("*"));
        let exposed = answer.header("Access-Control-Expose-Headers");
        assert_eq!(exposed, Some("ETag, x-cos-request-id"));
        answer
    };
    let call = || put(Dialect::Cos, &object());
    let begun = ask(call().query("uploads", "").header("x-cos-meta-a", "1"), "POST").await;
    let upload = begun.element("UploadId").unwrap();
    let part = call().query("partNumber", "1").query("uploadId", &upload).body("part");
    let etag = ask(part, "PUT").await.header("ETag").unwrap().to_owned();
    let parts = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    ask(call().query("uploadId", &upload).body(parts), "POST").await;
    assert_eq!(ask(call(), "GET").await.text(), "part");
}
