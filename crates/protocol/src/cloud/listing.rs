//! Lists that an action tells whole, however long they are, where the API has no pages: they
//! are sent as they are read.

use bytes::Bytes;
use costrel_core::Result;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use serde_json::{Map, Value};

use super::object;
use crate::body::ResponseBody;

/// The entries of a list, some at a time.
pub(super) type Pages = BoxStream<'static, Result<Vec<Value>>>;

/// An answer, and the list that is its last field.
pub(super) struct Listing {
    pub fields: Map<String, Value>,
    pub name: &'static str,
    pub pages: Pages,
}

impl Listing {
    /// The document. One that is read at once has its length; of a longer one as much is
    /// held as is read at a time. What fails behind its beginning breaks it off.
    pub async fn body(self, request_id: &str) -> Result<ResponseBody> {
        let (mut fields, mut pages) = (self.fields, self.pages);
        fields.insert("RequestId".to_owned(), request_id.into());
        let whole = Value::from(object([("Response", fields.into())])).to_string();
        // Without the two braces at its end, which come behind the list.
        let mut head = whole[..whole.len() - 2].to_owned();
        head.push_str(&format!(",\"{}\":[", self.name));
        let mut begun = false;
        let mut joined = move |page: Vec<Value>| {
            let mut text = String::new();
            for entry in page {
                if begun {
                    text.push(',');
                }
                begun = true;
                text.push_str(&entry.to_string());
            }
            text
        };
        head.push_str(&joined(pages.next().await.transpose()?.unwrap_or_default()));
        const TAIL: &str = "]}}";
        let Some(second) = pages.next().await else {
            return Ok(ResponseBody::memory(Bytes::from(head + TAIL)));
        };
        head.push_str(&joined(second?));
        let behind = pages.map(move |page| page.map(|page| Bytes::from(joined(page))));
        let head = stream::once(async { Ok(Bytes::from(head)) });
        let tail = stream::once(async { Ok(Bytes::from_static(TAIL.as_bytes())) });
        Ok(ResponseBody::pieces(head.chain(behind).chain(tail).boxed()))
    }
}

#[cfg(test)]
mod tests {
    use costrel_core::Error;
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    async fn told(pages: Vec<Result<Vec<Value>>>) -> (Option<u64>, Result<Bytes>) {
        let pages = stream::iter(pages).boxed();
        let listing = Listing { fields: object([("Count", 3.into())]), name: "Data", pages };
        let body = listing.body("id").await.unwrap();
        let length = http_body::Body::size_hint(&body).exact();
        (length, body.collect().await.map(|body| body.to_bytes()))
    }

    #[tokio::test]
    async fn a_list_is_one_document_whatever_its_pages() {
        for pages in [
            vec![],
            vec![vec![]],
            vec![vec![json!(1)]],
            vec![vec![json!(1), json!({"a": "]}"})]],
            vec![vec![json!(1)], vec![], vec![json!(2), json!(3)]],
            vec![vec![], vec![], vec![json!(1)]],
        ] {
            let all: Vec<Value> = pages.iter().flatten().cloned().collect();
            let count = pages.len();
            let (length, text) = told(pages.into_iter().map(Ok).collect()).await;
            let text = text.unwrap();
            assert_eq!(length.is_some(), count < 2);
            assert!(length.is_none_or(|length| length == text.len() as u64));
            let expected = json!({ "Response": { "Count": 3, "RequestId": "id", "Data": all } });
            assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn what_fails_is_not_taken_for_the_end() {
        let broken = || Err(Error::Internal("the test wants it so".into()));
        let (_, text) = told(vec![Ok(vec![json!(1)]), Ok(vec![json!(2)]), broken()]).await;
        assert!(text.is_err());
        let pages = stream::iter([broken()]).boxed();
        let listing = Listing { fields: Map::new(), name: "Data", pages };
        assert!(listing.body("id").await.is_err());
    }
}
