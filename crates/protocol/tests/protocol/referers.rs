//! COS's referer list.

use costrel_protocol::dialect::Dialect;

use crate::client::{Call, Signing, delete, get, head, put};
use crate::world::{BUCKET, World};

fn list(inner: &str) -> Call {
    let body = format!("<RefererConfiguration>{inner}</RefererConfiguration>");
    put(Dialect::Cos, &format!("/{BUCKET}")).query("referer", "").body(body)
}

fn white(more: &str) -> Call {
    list(&format!(
        "<Status>Enabled</Status><RefererType>White-List</RefererType><DomainList>\
         <Domain>*.example.com</Domain><Domain>10.1.2.3:8080</Domain></DomainList>{more}"
    ))
}

fn shown() -> Call {
    get(Dialect::Cos, &format!("/{BUCKET}")).query("referer", "")
}

#[tokio::test]
async fn a_list_is_set_shown_and_taken_back() {
    let world = World::with_bucket().await;
    let none = shown().send(&world).await;
    assert!(none.ok().text().ends_with("<RefererConfiguration/>"), "{}", none.dump());
    white("").send(&world).await.ok();
    let read = shown().send(&world).await;
    assert_eq!(read.elements("Domain"), ["*.example.com", "10.1.2.3:8080"]);
    for (name, value) in
        [("Status", "Enabled"), ("RefererType", "White-List"), ("EmptyReferConfiguration", "Deny")]
    {
        assert_eq!(read.element(name).as_deref(), Some(value));
    }
    let stored = read.text().to_owned();
    let good = "<Status>Enabled</Status><RefererType>Black-List</RefererType>\
                <DomainList><Domain>a</Domain></DomainList>";
    for bad in [
        good.replace("Enabled", "On"),
        good.replace("Black-List", "Grey-List"),
        good.replace("<Domain>a</Domain>", ""),
        good.replace("<Domain>a</Domain>", "<Domain/>"),
        good.replace("<Status>Enabled</Status>", ""),
        format!("{good}{good}"),
        format!("{good}<EmptyReferConfiguration>Maybe</EmptyReferConfiguration>"),
        format!("{good}<Other>x</Other>"),
    ] {
        list(&bad).send(&world).await.refused(400, "MalformedXML");
        assert_eq!(shown().send(&world).await.text(), stored);
    }
    put(Dialect::Cos, &format!("/{BUCKET}")).query("referer", "").send(&world).await.ok();
    assert_eq!(shown().send(&world).await.text(), none.text());
    // A bucket of the same name has nothing of it.
    white("").send(&world).await.ok();
    delete(Dialect::Cos, &format!("/{BUCKET}")).send(&world).await.ok();
    world.make_bucket(BUCKET).await;
    assert_eq!(shown().send(&world).await.text(), none.text());
}

#[tokio::test]
async fn objects_are_shown_on_listed_pages() {
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    put(Dialect::S3, &path).header("x-amz-acl", "public-read").body("x").send(&world).await.ok();
    let private = format!("/{BUCKET}/private");
    put(Dialect::S3, &private).body("x").send(&world).await.ok();
    let from = |call: Call, referer: &str| call.header("Referer", referer);
    let (good, bad) = ("https://www.example.com/page", "https://example.org/");
    for dialect in Dialect::ALL {
        let anonymous = || get(dialect, &path).signing(Signing::Nothing);
        let denied = |answer: crate::client::Answer| {
            answer.refused(403, "AccessDenied");
            let message = answer.element("Message");
            assert_eq!(message.as_deref(), Some("You are denied by bucket referer rule"));
        };
        white("").send(&world).await.ok();
        from(anonymous(), good).send(&world).await.ok();
        from(anonymous(), "http://10.1.2.3:8080/").send(&world).await.ok();
        denied(from(anonymous(), bad).send(&world).await);
        denied(from(anonymous(), "https://www.example.com.evil.example/").send(&world).await);
        denied(anonymous().send(&world).await);
        let head = from(head(dialect, &path).signing(Signing::Nothing), bad);
        assert_eq!(head.send(&world).await.status, 403);
        // It lets nobody in.
        let closed = from(get(dialect, &private).signing(Signing::Nothing), good);
        closed.send(&world).await.refused(403, "AccessDenied");
        // Whoever signs is no page, nor is a link unless the list says so.
        from(get(dialect, &path), bad).send(&world).await.ok();
        let link = || {
            let signing =
                if dialect == Dialect::Cos { Signing::CosQuery } else { Signing::V4Query };
            get(dialect, &path).signing(signing)
        };
        link().send(&world).await.ok();
        white("<VerifySignatureURL>Enabled</VerifySignatureURL>").send(&world).await.ok();
        denied(link().send(&world).await);
        from(get(dialect, &path), bad).send(&world).await.ok();

        white("<EmptyReferConfiguration>Allow</EmptyReferConfiguration>").send(&world).await.ok();
        anonymous().send(&world).await.ok();
        denied(from(anonymous(), bad).send(&world).await);
        list(
            "<Status>Enabled</Status><RefererType>Black-List</RefererType><DomainList>\
             <Domain>example.org</Domain></DomainList>",
        )
        .send(&world)
        .await
        .ok();
        denied(from(anonymous(), bad).send(&world).await);
        from(anonymous(), good).send(&world).await.ok();
        list(
            "<Status>Disabled</Status><RefererType>Black-List</RefererType><DomainList>\
             <Domain>example.org</Domain></DomainList>",
        )
        .send(&world)
        .await
        .ok();
        from(anonymous(), bad).send(&world).await.ok();
    }
}
