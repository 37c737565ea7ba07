//! ACLs of buckets and objects, in both dialects.

use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, Call, Signing, delete, get, head, post, put};
use crate::users::{Somebody, all};
use crate::world::{BUCKET, UIN, World};

fn bucket() -> String {
    format!("/{BUCKET}")
}

fn object(key: &str) -> String {
    format!("/{BUCKET}/{key}")
}

fn anonymous(call: Call) -> Call {
    call.signing(Signing::Nothing)
}

fn header(dialect: Dialect, name: &str) -> String {
    [dialect.headers().prefix, name].concat()
}

/// Sets the ACL of a bucket or an object to a canned one.
async fn canned(world: &World, dialect: Dialect, path: &str, acl: &str) -> Answer {
    let call = put(dialect, path).query("acl", "").header(&header(dialect, "acl"), acl);
    call.send(world).await
}

async fn shown(world: &World, dialect: Dialect, path: &str) -> Vec<(String, String)> {
    let answer = get(dialect, path).query("acl", "").send(world).await;
    answer.ok();
    grants(&answer)
}

/// Who has which permission, each in the words of the answer.
fn grants(answer: &Answer) -> Vec<(String, String)> {
    let list = answer.text().split("<Grant>").skip(1);
    list.map(|grant| {
        let one = |name: &str| {
            let open = format!("<{name}>");
            let from = grant.find(&open)? + open.len();
            Some(grant[from..].split('<').next()?.to_owned())
        };
        let who = one("URI").or_else(|| one("ID")).unwrap();
        (who, one("Permission").unwrap())
    })
    .collect()
}

fn id(dialect: Dialect, uin: &str) -> String {
    match dialect {
        Dialect::Cos => format!("qcs::cam::uin/{UIN}:uin/{uin}"),
        Dialect::S3 => uin.to_owned(),
    }
}

fn group(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::Cos => format!("http://cam.qcloud.com/groups/global/{name}"),
        Dialect::S3 => format!("http://acs.amazonaws.com/groups/global/{name}"),
    }
}

fn grant(who: String, permission: &str) -> (String, String) {
    (who, permission.to_owned())
}

fn document(grants: &[(&str, &str)]) -> String {
    let grants: String = grants
        .iter()
        .map(|(grantee, permission)| {
            format!(
                "<Grant><Grantee>{grantee}</Grantee><Permission>{permission}</Permission></Grant>"
            )
        })
        .collect();
    format!(
        "<AccessControlPolicy><AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
    )
}

#[tokio::test]
async fn lists_of_buckets_are_shown_in_both_dialects() {
    let world = World::with_bucket().await;
    let all = Dialect::ALL;
    for dialect in all {
        assert_eq!(
            shown(&world, dialect, &bucket()).await,
            [grant(id(dialect, UIN), "FULL_CONTROL")]
        );
    }
    for by in all {
        for (acl, name, permissions) in [
            ("public-read", "AllUsers", &["READ"][..]),
            ("public-read-write", "AllUsers", &["READ", "WRITE"]),
            ("authenticated-read", "AuthenticatedUsers", &["READ"]),
            ("private", "", &[]),
        ] {
            canned(&world, by, &bucket(), acl).await.ok();
            for dialect in all {
                let mut want: Vec<_> = permissions
                    .iter()
                    .map(|permission| grant(group(dialect, name), permission))
                    .collect();
                want.push(grant(id(dialect, UIN), "FULL_CONTROL"));
                assert_eq!(shown(&world, dialect, &bucket()).await, want, "{acl}");
            }
        }
    }
    let answer = get(Dialect::Cos, &bucket()).query("acl", "").send(&world).await;
    assert!(answer.text().contains(r#"<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">"#));
}

#[tokio::test]
async fn anybody_reads_a_public_bucket_and_writes_as_far_as_it_goes() {
    let world = World::with_bucket().await;
    let key = object("key");
    for dialect in Dialect::ALL {
        put(Dialect::Cos, &key).body("open").send(&world).await.ok();
        put(Dialect::S3, &object("private")).body("x").send(&world).await.ok();
        let (list, read) = (anonymous(get(dialect, &bucket())), anonymous(get(dialect, &key)));
        list.send(&world).await.refused(403, "AccessDenied");
        read.send(&world).await.refused(403, "AccessDenied");
        anonymous(get(dialect, &object("none"))).send(&world).await.refused(403, "AccessDenied");

        canned(&world, dialect, &bucket(), "public-read").await.ok();
        assert_eq!(list.send(&world).await.elements("Key"), ["key", "private"]);
        assert_eq!(read.send(&world).await.text(), "open");
        assert_eq!(anonymous(head(dialect, &key)).send(&world).await.status, 200);
        assert_eq!(anonymous(head(dialect, &bucket())).send(&world).await.status, 200);
        anonymous(get(dialect, &object("none"))).send(&world).await.refused(404, "NoSuchKey");
        // What S3 has put says for itself that it is private.
        let private = anonymous(get(dialect, &object("private")));
        private.send(&world).await.refused(403, "AccessDenied");
        let overridden = read.clone().query("response-content-type", "text/html");
        overridden.send(&world).await.refused(400, "InvalidRequest");
        let write = anonymous(put(dialect, &object("written")).body("by anybody"));
        write.send(&world).await.refused(403, "AccessDenied");
        let acl = anonymous(get(dialect, &bucket()).query("acl", ""));
        acl.send(&world).await.refused(403, "AccessDenied");

        canned(&world, dialect, &bucket(), "public-read-write").await.ok();
        write.send(&world).await.ok();
        let upload = anonymous(post(dialect, &object("parts")).query("uploads", ""));
        let upload = upload.send(&world).await.element("UploadId").unwrap();
        let part = anonymous(put(dialect, &object("parts")).body("p"));
        part.query("uploadId", &upload).query("partNumber", "1").send(&world).await.ok();
        acl.send(&world).await.refused(403, "AccessDenied");
        // Who may write may say who reads that, and no more.
        let public = write.clone().header(&header(dialect, "acl"), "public-read");
        public.send(&world).await.ok();
        let tagged = write.clone().header(&header(dialect, "tagging"), "a=b");
        tagged.send(&world).await.refused(403, "AccessDenied");
        let gone = anonymous(delete(dialect, &object("written"))).send(&world).await;
        assert_eq!(gone.status, 204);
        let many = "<Delete><Object><Key>private</Key></Object></Delete>";
        let many = anonymous(post(dialect, &bucket()).query("delete", "").body(many));
        many.send(&world).await.ok();
        let gone = get(dialect, &object("private")).send(&world).await;
        gone.refused(404, "NoSuchKey");
        canned(&world, dialect, &bucket(), "private").await.ok();
        read.send(&world).await.refused(403, "AccessDenied");
    }
}

#[tokio::test]
async fn objects_have_lists_of_their_own() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let acl = header(dialect, "acl");
        let (key, read) = (object("key"), anonymous(get(dialect, &object("key"))));
        put(dialect, &key).header(&acl, "public-read").body("open").send(&world).await.ok();
        assert_eq!(read.send(&world).await.text(), "open");
        for shows in Dialect::ALL {
            let want =
                [grant(group(shows, "AllUsers"), "READ"), grant(id(shows, UIN), "FULL_CONTROL")];
            assert_eq!(shown(&world, shows, &key).await, want);
        }
        // Overwriting is a new object.
        put(dialect, &key).body("closed").send(&world).await.ok();
        read.send(&world).await.refused(403, "AccessDenied");
        canned(&world, dialect, &key, "public-read").await.ok();
        assert_eq!(read.send(&world).await.text(), "closed");
        canned(&world, dialect, &key, "private").await.ok();
        read.send(&world).await.refused(403, "AccessDenied");

        canned(&world, dialect, &key, "authenticated-read").await.ok();
        read.send(&world).await.refused(403, "AccessDenied");
        let user = Somebody::new(&world, &format!("reader-{}", dialect.name())).await;
        assert_eq!(user.signs(get(dialect, &key)).send(&world).await.text(), "closed");

        // A copy has what its own request says.
        canned(&world, dialect, &key, "public-read").await.ok();
        let copy = put(dialect, &object("copy")).header(&header(dialect, "copy-source"), &{
            match dialect {
                Dialect::Cos => format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com/key"),
                Dialect::S3 => format!("/{BUCKET}/key"),
            }
        });
        let copied = anonymous(get(dialect, &object("copy")));
        copy.send(&world).await.ok();
        copied.send(&world).await.refused(403, "AccessDenied");
        copy.clone().header(&acl, "public-read").send(&world).await.ok();
        assert_eq!(copied.send(&world).await.text(), "closed");

        let upload = post(dialect, &object("parts")).query("uploads", "");
        let upload = upload.header(&acl, "public-read").send(&world).await;
        let upload = upload.element("UploadId").unwrap();
        let part = put(dialect, &object("parts")).query("partNumber", "1").body("parts");
        let part = part.query("uploadId", &upload).send(&world).await;
        let etag = part.header("ETag").unwrap();
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        );
        let complete = post(dialect, &object("parts")).query("uploadId", &upload).body(list);
        complete.send(&world).await.ok();
        assert_eq!(anonymous(get(dialect, &object("parts"))).send(&world).await.text(), "parts");
    }
    let append = post(Dialect::Cos, &object("log")).query("append", "").query("position", "0");
    append.header("x-cos-acl", "public-read").body("a").send(&world).await.ok();
    let more = post(Dialect::Cos, &object("log")).query("append", "").query("position", "1");
    more.body("b").send(&world).await.ok();
    assert_eq!(anonymous(get(Dialect::S3, &object("log"))).send(&world).await.text(), "ab");
    // A link is read by whom it and its target let.
    let link = |acl: &str| {
        let call = put(Dialect::Cos, &object("link")).query("symlink", "");
        call.header("x-cos-symlink-target", "log").header("x-cos-acl", acl)
    };
    link("private").send(&world).await.ok();
    let through = anonymous(get(Dialect::Cos, &object("link")));
    through.send(&world).await.refused(403, "AccessDenied");
    link("public-read").send(&world).await.ok();
    assert_eq!(through.send(&world).await.text(), "ab");
    canned(&world, Dialect::S3, &object("log"), "private").await.ok();
    through.send(&world).await.refused(403, "AccessDenied");
}

/// COS: an object that says nothing has its bucket's list.
#[tokio::test]
async fn what_says_nothing_has_its_bucket_s_list() {
    let world = World::with_bucket().await;
    let key = object("key");
    put(Dialect::Cos, &key).body("x").send(&world).await.ok();
    canned(&world, Dialect::Cos, &bucket(), "public-read").await.ok();
    let answer = get(Dialect::Cos, &key).query("acl", "").send(&world).await;
    assert_eq!(answer.header("x-cos-acl"), Some("default"));
    assert_eq!(grants(&answer), [grant(id(Dialect::Cos, UIN), "FULL_CONTROL")]);
    let of_bucket = shown(&world, Dialect::S3, &bucket()).await;
    assert_eq!(shown(&world, Dialect::S3, &key).await, of_bucket);
    let read = anonymous(get(Dialect::Cos, &key));
    read.send(&world).await.ok();
    canned(&world, Dialect::Cos, &key, "private").await.ok();
    read.send(&world).await.refused(403, "AccessDenied");
    assert_eq!(
        get(Dialect::Cos, &key).query("acl", "").send(&world).await.header("x-cos-acl"),
        None
    );
    canned(&world, Dialect::Cos, &key, "default").await.ok();
    read.send(&world).await.ok();
}

#[tokio::test]
async fn grants_in_headers_and_documents() {
    let world = World::with_bucket().await;
    let user = Somebody::new(&world, "friend").await;
    let uin = user.user.uin.to_string();
    for dialect in Dialect::ALL {
        let name = |permission: &str| header(dialect, &format!("grant-{permission}"));
        let path = object("key");
        put(dialect, &path).body("x").send(&world).await.ok();
        let read = user.signs(get(dialect, &path));
        read.send(&world).await.refused(403, "AccessDenied");
        for text in [
            format!("id=\"{uin}\""),
            format!("id={uin}, id=\"{UIN}\""),
            format!("id=\"{UIN}/{uin}\""),
            format!("id=\"qcs::cam::uin/{UIN}:uin/{uin}\""),
        ] {
            let call = put(dialect, &path).header(&name("read"), &text).body("x");
            call.send(&world).await.ok();
            assert_eq!(read.send(&world).await.status, 200, "{text}");
            let list = shown(&world, dialect, &path).await;
            assert!(list.contains(&grant(id(dialect, &uin), "READ")), "{list:?}");
            put(dialect, &path).body("x").send(&world).await.ok();
            read.send(&world).await.refused(403, "AccessDenied");
        }
        let acl = put(dialect, &path).query("acl", "");
        let text = format!("id=\"{uin}\"");
        acl.clone().header(&name("read-acp"), &text).send(&world).await.ok();
        user.signs(get(dialect, &path).query("acl", "")).send(&world).await.ok();
        let theirs = user.signs(acl.clone().header(&header(dialect, "acl"), "public-read"));
        theirs.send(&world).await.refused(403, "AccessDenied");
        acl.clone().header(&name("write-acp"), &text).send(&world).await.ok();
        read.send(&world).await.refused(403, "AccessDenied");
        theirs.send(&world).await.ok();
        read.send(&world).await.ok();

        let somebody = format!("<ID>{}</ID>", id(dialect, &uin));
        let everybody = format!("<URI>{}</URI>", group(dialect, "AllUsers"));
        let list = document(&[(&somebody, "FULL_CONTROL"), (&everybody, "READ")]);
        acl.clone().body(&list).send(&world).await.ok();
        let mut want = vec![
            grant(id(dialect, &uin), "FULL_CONTROL"),
            grant(group(dialect, "AllUsers"), "READ"),
        ];
        if dialect == Dialect::Cos {
            // What the owner has cannot be taken from him.
            want.push(grant(id(dialect, UIN), "FULL_CONTROL"));
        }
        assert_eq!(shown(&world, dialect, &path).await, want);
        get(dialect, &path).send(&world).await.ok();
        anonymous(get(dialect, &path)).send(&world).await.ok();
        user.signs(get(dialect, &path).query("acl", "")).send(&world).await.ok();
        user.signs(put(dialect, &path).body("theirs"))
            .send(&world)
            .await
            .refused(403, "AccessDenied");

        let of_bucket = put(dialect, &bucket()).query("acl", "");
        of_bucket.body(document(&[(&somebody, "WRITE")])).send(&world).await.ok();
        user.signs(put(dialect, &path).body("theirs")).send(&world).await.ok();
        user.signs(get(dialect, &bucket())).send(&world).await.refused(403, "AccessDenied");
        canned(&world, dialect, &bucket(), "private").await.ok();
    }
    let anyone = document(&[("<ID>qcs::cam::anyone:anyone</ID>", "READ")]);
    put(Dialect::Cos, &bucket()).query("acl", "").body(anyone).send(&world).await.ok();
    anonymous(get(Dialect::Cos, &bucket())).send(&world).await.ok();
}

/// What is refused leaves the list that is in force.
#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let world = World::with_bucket().await;
    let key = object("key");
    put(Dialect::S3, &key).body("x").send(&world).await.ok();
    for path in [bucket(), key] {
        canned(&world, Dialect::S3, &path, "public-read").await.ok();
        let stored = world.stored().await;
        for dialect in Dialect::ALL {
            let cos = dialect == Dialect::Cos;
            let call = || put(dialect, &path).query("acl", "");
            let pick = |of_cos, of_s3| if cos { of_cos } else { of_s3 };
            let (acl, read) = (header(dialect, "acl"), header(dialect, "grant-read"));
            let malformed = pick("MalformedXML", "MalformedACLError");
            let me = format!("<ID>{}</ID>", id(dialect, UIN));
            let me = me.as_str();
            let owned = |id: &str| {
                let owner = format!("<Owner><ID>{id}</ID></Owner><AccessControlList>");
                document(&[(me, "READ")]).replace("<AccessControlList>", &owner)
            };
            let one = format!("id=\"{UIN}\"");
            let cases = [
                (call(), 400, pick("MissingRequestBodyError", "MissingSecurityHeader")),
                (call().header(&acl, "open"), 400, "InvalidArgument"),
                (
                    call().header(&acl, "private").header(&read, &one),
                    400,
                    pick("InvalidArgument", "InvalidRequest"),
                ),
                (call().header(&read, "id=\"_foo\""), 400, "InvalidArgument"),
                (call().header(&read, "id=\"100000000777\""), 400, "InvalidArgument"),
                (call().header(&read, "id=\"100000000777/100000000001\""), 400, "InvalidArgument"),
                (call().header(&read, UIN), 400, "InvalidArgument"),
                (
                    call().header(&read, "uri=\"http://x/groups/global/Nobody\""),
                    400,
                    "InvalidArgument",
                ),
                (
                    call().header(&read, "emailAddress=\"a@b\""),
                    400,
                    pick("InvalidArgument", "UnresolvableGrantByEmailAddress"),
                ),
                (
                    call().header(&read, &vec![one.as_str(); 101].join(",")),
                    400,
                    pick("InvalidArgument", malformed),
                ),
                (call().body("<AccessControlPolicy/>"), 400, malformed),
                (call().body("nonsense"), 400, malformed),
                (call().body(document(&[(me, "EVERYTHING")])), 400, malformed),
                (call().body(document(&[("<ID>_foo</ID>", "READ")])), 400, "InvalidArgument"),
                (
                    call().body(document(&vec![(me, "READ"); 101])),
                    400,
                    pick("InvalidArgument", malformed),
                ),
                (call().body(owned("100000000777")), 403, "AccessDenied"),
                (
                    call().header(&acl, "aws-exec-read"),
                    if cos { 400 } else { 501 },
                    pick("InvalidArgument", "NotImplemented"),
                ),
            ];
            for (call, status, code) in cases {
                call.send(&world).await.refused(status, code);
            }
            if !cos {
                let both = call().header(&acl, "private").body(document(&[]));
                both.send(&world).await.refused(400, "UnexpectedContent");
            }
            let none = put(dialect, &object("none")).query("acl", "").header(&acl, "private");
            none.send(&world).await.refused(404, "NoSuchKey");
        }
        assert_eq!(world.stored().await, stored);
    }
    for (acl, path) in [("public-read-write", object("new")), ("default", "/new-1250000000".into())]
    {
        let call = put(Dialect::Cos, &path).header("x-cos-acl", acl);
        call.send(&world).await.refused(400, "InvalidArgument");
        get(Dialect::Cos, &path)
            .send(&world)
            .await
            .refused(404, if acl == "default" { "NoSuchBucket" } else { "NoSuchKey" });
    }
}

#[tokio::test]
async fn versions_have_lists_of_their_own() {
    let world = World::with_bucket().await;
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    put(Dialect::S3, &bucket()).query("versioning", "").body(enabled).send(&world).await.ok();
    let key = object("key");
    let old = put(Dialect::S3, &key).body("old").send(&world).await;
    let old = old.header("x-amz-version-id").unwrap().to_owned();
    put(Dialect::S3, &key).body("new").send(&world).await.ok();
    let of_old = |call: Call| call.query("versionId", &old);
    let set = of_old(put(Dialect::S3, &key)).query("acl", "").header("x-amz-acl", "public-read");
    let answer = set.send(&world).await;
    assert_eq!(answer.ok().header("x-amz-version-id"), Some(old.as_str()));
    assert_eq!(anonymous(of_old(get(Dialect::Cos, &key))).send(&world).await.text(), "old");
    anonymous(get(Dialect::S3, &key)).send(&world).await.refused(403, "AccessDenied");
    assert_eq!(shown(&world, Dialect::S3, &key).await.len(), 1);
    let shown = of_old(get(Dialect::S3, &key)).query("acl", "").send(&world).await;
    assert_eq!(grants(&shown).len(), 2);
    // Who may write does not remove what was there before him.
    canned(&world, Dialect::S3, &bucket(), "public-read-write").await.ok();
    let gone = anonymous(of_old(delete(Dialect::S3, &key))).send(&world).await;
    gone.refused(403, "AccessDenied");
    assert_eq!(anonymous(delete(Dialect::S3, &key)).send(&world).await.status, 204);
}

/// In which order policies, ACLs and what a bucket blocks count.
#[tokio::test]
async fn precedence() {
    let world = World::with_bucket().await;
    let s3 = Dialect::S3;
    let key = object("key");
    let put_public = put(s3, &key).header("x-amz-acl", "public-read").body("x");
    put_public.send(&world).await.ok();
    canned(&world, s3, &bucket(), "public-read").await.ok();
    let read = anonymous(get(s3, &key));
    let list = anonymous(get(s3, &bucket()));
    let user = Somebody::new(&world, "user").await;
    let signed = user.signs(get(s3, &key));
    read.send(&world).await.ok();
    // Whatever is granted to everybody, those who sign have too.
    signed.send(&world).await.ok();
    // A denial counts for more than any grant.
    let policy = |effect: &str, principal: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "{effect}", "Principal": {principal},
                "Action": "s3:GetObject", "Resource": "arn:aws:s3:::{BUCKET}/*"}}]}}"#
        )
    };
    crate::policies::set(&world, s3, &policy("Deny", r#""*""#)).await;
    read.send(&world).await.refused(403, "AccessDenied");
    list.send(&world).await.ok();
    delete(s3, &bucket()).query("policy", "").send(&world).await.ok();
    user.may(&world, &all("deny", r#""action": "cos:GetObject""#)).await;
    signed.send(&world).await.refused(403, "AccessDenied");
    read.send(&world).await.ok();
    // A key that is limited has no more by grants to everybody.
    let limited = r#"{"version": "2.0", "statement": [{"effect": "allow", "action": "cos:PutObject", "resource": "*"}]}"#;
    let limited = world.temporary(costrel_policy::Grammar::Cam, limited).await;
    get(s3, &key).temporary(&limited).send(&world).await.refused(403, "AccessDenied");

    let block = |setting: &str| {
        let root = "PublicAccessBlockConfiguration";
        let body = format!("<{root}><{setting}>true</{setting}></{root}>");
        put(s3, &bucket()).query("publicAccessBlock", "").body(body)
    };
    block("IgnorePublicAcls").send(&world).await.ok();
    read.send(&world).await.refused(403, "AccessDenied");
    list.send(&world).await.refused(403, "AccessDenied");
    assert_eq!(shown(&world, s3, &key).await.len(), 2);
    put_public.send(&world).await.ok();

    block("BlockPublicAcls").send(&world).await.ok();
    read.send(&world).await.ok();
    let stored = world.stored().await;
    for dialect in Dialect::ALL {
        let acl = header(dialect, "acl");
        for path in [bucket(), object("key")] {
            canned(&world, dialect, &path, "public-read").await.refused(403, "AccessDenied");
        }
        let new = put(dialect, &object("new")).body("x");
        new.clone()
            .header(&acl, "authenticated-read")
            .send(&world)
            .await
            .refused(403, "AccessDenied");
        let upload = post(dialect, &object("new")).query("uploads", "").header(&acl, "public-read");
        upload.send(&world).await.refused(403, "AccessDenied");
    }
    assert_eq!(world.stored().await, stored);
    // Grants to somebody in particular are not public.
    let one = format!("id=\"{}\"", user.user.uin);
    let call = put(s3, &key).query("acl", "").header("x-amz-grant-read", &one);
    call.send(&world).await.ok();

    // An upload that was begun before is judged when it becomes an object.
    delete(s3, &bucket()).query("publicAccessBlock", "").send(&world).await.ok();
    let upload = post(s3, &object("late")).query("uploads", "").header("x-amz-acl", "public-read");
    let upload = upload.send(&world).await.element("UploadId").unwrap();
    let part = put(s3, &object("late")).query("partNumber", "1").query("uploadId", &upload);
    let etag = part.body("x").send(&world).await.header("ETag").unwrap().to_owned();
    block("BlockPublicAcls").send(&world).await.ok();
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    let complete = post(s3, &object("late")).query("uploadId", &upload).body(list);
    complete.send(&world).await.refused(403, "AccessDenied");
}

/// A policy that lets somebody put objects lets him make them public only if it says
/// so, and may look at what the request says.
#[tokio::test]
async fn who_may_make_something_public() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let user = Somebody::new(&world, "writer").await;
        user.may(&world, &all("allow", r#""action": "cos:PutObject""#)).await;
        let (path, acl) = (object("key"), header(dialect, "acl"));
        let with = |value: &str| user.signs(put(dialect, &path).header(&acl, value).body("x"));
        with("private").send(&world).await.ok();
        with("bucket-owner-full-control").send(&world).await.ok();
        let to_owner = put(dialect, &path).body("x");
        let to_owner =
            to_owner.header(&header(dialect, "grant-full-control"), &format!("id={UIN}"));
        user.signs(to_owner).send(&world).await.ok();
        with("public-read").send(&world).await.refused(403, "AccessDenied");
        let only = r#""action": "cos:PutObjectACL",
            "condition": {"string_equal": {"cos:x-cos-acl": "public-read"}}"#;
        user.may(&world, &all("allow", only)).await;
        with("public-read").send(&world).await.ok();
        with("authenticated-read").send(&world).await.refused(403, "AccessDenied");
        let call = put(dialect, &path).query("acl", "");
        let set = |value: &str| user.signs(call.clone().header(&acl, value));
        set("public-read").send(&world).await.ok();
        set("private").send(&world).await.refused(403, "AccessDenied");
    }
    // Whoever is given a URL to put an object does not make it public.
    let world = World::with_bucket().await;
    let url = put(Dialect::Cos, &object("key")).signing(Signing::CosQuery);
    let bytes = url
        .head_bytes(&world, &[("x-cos-acl", "public-read".into()), ("Content-Length", "0".into())]);
    crate::client::exchange(&world, &bytes, false).await.refused(403, "AccessDenied");
    // Nor does he tag it, for a policy that goes by that, or lock it.
    let tag = ("x-cos-tagging", "public=yes".to_owned());
    let none = ("Content-Length", "0".into());
    let bytes = url.head_bytes(&world, &[tag, none.clone()]);
    crate::client::exchange(&world, &bytes, false).await.refused(403, "AccessDenied");
    let (mode, until) = ("x-cos-object-lock-mode", "x-cos-object-lock-retain-until-date");
    let (mode, until) = ((mode, "COMPLIANCE".into()), (until, "2140-01-01T00:00:00Z".into()));
    let bytes = url.head_bytes(&world, &[mode, until, none]);
    let answer = crate::client::exchange(&world, &bytes, false).await;
    answer.refused(403, "AccessDenied");
    assert!(answer.text().contains("was presigned without"), "{}", answer.dump());
    url.clone().header("x-cos-tagging", "public=yes").body("x").send(&world).await.ok();
    let signed = url.header("x-cos-acl", "public-read").body("x");
    signed.send(&world).await.ok();
    anonymous(get(Dialect::Cos, &object("key"))).send(&world).await.ok();
}

/// S3: a bucket whose owner owns whatever is in it has no ACLs.
#[tokio::test]
async fn ownership() {
    let world = World::with_bucket().await;
    let s3 = Dialect::S3;
    let key = object("key");
    let shows = || get(s3, &bucket()).query("ownershipControls", "");
    let sets = |words: &str| {
        let body = format!("<OwnershipControls><Rule>{words}</Rule></OwnershipControls>");
        put(s3, &bucket()).query("ownershipControls", "").body(body)
    };
    let says = |word: &str| sets(&format!("<ObjectOwnership>{word}</ObjectOwnership>"));
    shows().send(&world).await.refused(404, "OwnershipControlsNotFoundError");
    put(s3, &key).header("x-amz-acl", "public-read").body("x").send(&world).await.ok();
    canned(&world, s3, &bucket(), "public-read").await.ok();
    let enforce = says("BucketOwnerEnforced");
    enforce.send(&world).await.refused(400, "InvalidBucketAclWithObjectOwnership");
    canned(&world, s3, &bucket(), "private").await.ok();
    for word in ["BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced"] {
        says(word).send(&world).await.ok();
        let shown = shows().send(&world).await;
        assert_eq!(shown.element("ObjectOwnership").as_deref(), Some(word));
    }
    for wrong in ["", "<ObjectOwnership>Nobody</ObjectOwnership>", "<Owner>me</Owner>"] {
        sets(wrong).send(&world).await.refused(400, "MalformedXML");
    }
    // What it says counts for nothing, and is not shown.
    let read = anonymous(get(s3, &key));
    read.send(&world).await.refused(403, "AccessDenied");
    assert_eq!(shown(&world, s3, &key).await, [grant(UIN.into(), "FULL_CONTROL")]);
    let new = object("new");
    for dialect in Dialect::ALL {
        let acl = header(dialect, "acl");
        for path in [bucket(), key.clone()] {
            let answer = canned(&world, dialect, &path, "public-read").await;
            answer.refused(400, "AccessControlListNotSupported");
        }
        let call = |value: &str| put(dialect, &new).header(&acl, value).body("x");
        let public = call("public-read").send(&world).await;
        public.refused(400, "AccessControlListNotSupported");
        call("bucket-owner-full-control").send(&world).await.ok();
        put(dialect, &new).body("x").send(&world).await.ok();
        let upload = post(dialect, &new).query("uploads", "").header(&acl, "public-read");
        upload.send(&world).await.refused(400, "AccessControlListNotSupported");
        let private = call("private").send(&world).await;
        match dialect {
            Dialect::S3 => _ = private.refused(400, "AccessControlListNotSupported"),
            Dialect::Cos => _ = private.ok(),
        }
    }
    let everybody = format!("<URI>{}</URI>", group(s3, "AllUsers"));
    let set = put(s3, &key).query("acl", "").body(document(&[(&everybody, "READ")]));
    set.send(&world).await.refused(400, "AccessControlListNotSupported");
    for _ in 0..2 {
        let gone = delete(s3, &bucket()).query("ownershipControls", "").send(&world).await;
        assert_eq!(gone.status, 204);
    }
    shows().send(&world).await.refused(404, "OwnershipControlsNotFoundError");
    read.send(&world).await.ok();

    let create = |ownership: &str| {
        let call = put(s3, &format!("/{}", ownership.to_lowercase()));
        call.header("x-amz-object-ownership", ownership)
    };
    create("BucketOwnerEnforced").send(&world).await.ok();
    let shown = get(s3, "/bucketownerenforced").query("ownershipControls", "").send(&world).await;
    assert_eq!(shown.element("ObjectOwnership").as_deref(), Some("BucketOwnerEnforced"));
    create("Nobody").send(&world).await.refused(400, "InvalidArgument");
    let both = put(s3, "/both").header("x-amz-object-ownership", "BucketOwnerEnforced");
    let both = both.header("x-amz-acl", "public-read");
    both.send(&world).await.refused(400, "InvalidBucketAclWithObjectOwnership");
    get(s3, "/both").send(&world).await.refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn new_buckets() {
    let world = World::new().await;
    for dialect in Dialect::ALL {
        let path = format!("/{}-1250000000", dialect.name().to_lowercase());
        let acl = header(dialect, "acl");
        put(dialect, &path).header(&acl, "public-read").send(&world).await.ok();
        anonymous(get(dialect, &path)).send(&world).await.ok();
        let user = Somebody::new(&world, dialect.name()).await;
        user.may(&world, &all("allow", r#""action": "cos:PutBucket""#)).await;
        let path = format!("/{}2-1250000000", dialect.name().to_lowercase());
        let open = user.signs(put(dialect, &path).header(&acl, "public-read"));
        open.send(&world).await.refused(403, "AccessDenied");
        user.signs(put(dialect, &path)).send(&world).await.ok();
    }
}

/// Who is let in by what an object says is given that object, and not the one that
/// takes its place in the meantime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_let_in_by_an_object_that_is_gone() {
    let world = World::with_bucket().await;
    canned(&world, Dialect::Cos, &bucket(), "public-read").await.ok();
    let write = async |round: usize| {
        let (acl, text) = [("private", "secret"), ("public-read", "open")][round % 2];
        let body = text.repeat([1, 100_000][round / 2 % 2]);
        let call = put(Dialect::S3, &object("key")).header("x-amz-acl", acl);
        call.body(body).send(&world).await.ok();
        if round.is_multiple_of(7) {
            delete(Dialect::S3, &object("key")).send(&world).await;
        }
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let writer = async {
        for round in 0..400 {
            write(round).await;
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let readers = (0..4).map(|_| async {
        let mut read = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let answer = anonymous(get(Dialect::S3, &object("key"))).send(&world).await;
            match answer.status {
                200 => read += 1,
                status => assert!([403, 404].contains(&status), "{}", answer.dump()),
            }
            assert!(!answer.text().contains("secret"), "{} were read before", read);
        }
        read
    });
    let readers = futures_util::future::join_all(readers);
    let ((), read) = futures_util::future::join(writer, readers).await;
    assert!(read.iter().sum::<usize>() > 0);
}
