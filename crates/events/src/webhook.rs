//! Webhooks: a POST for each message, acknowledged by any answer of 200 to 299.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::events::Undelivered;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::tls::{self, TlsOptions};
use crate::{Parcel, Sender, whole};

/// How long a connection is kept that nothing is sent over.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Idle connections that are kept.
const IDLE_COUNT: usize = 16;
/// Of an answer's body, which means nothing: as much is read so that its connection can be
/// used again.
const ANSWER_BYTES: usize = 64 << 10;

#[derive(Clone)]
pub struct WebhookOptions {
    pub url: String,
    /// The `Authorization` header of each request.
    pub authorization: Option<String>,
    pub tls: TlsOptions,
}

pub(crate) struct Webhook {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    authorization: Option<HeaderValue>,
    agent: HeaderValue,
}

impl Webhook {
    pub fn new(options: WebhookOptions, agent: &str) -> Result<Webhook, String> {
        let url: Uri = options.url.parse().map_err(|_| "it has no URL")?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        let host = url.authority().filter(|authority| !authority.as_str().contains('@'));
        if !is_http || host.is_none_or(|host| host.host().is_empty()) {
            // Not shown, since what stands before the `@` is a secret.
            return Err("its URL is none of a webhook: http or https, and no user".into());
        }
        let authorization = options.authorization.as_deref().map(HeaderValue::from_str);
        let mut authorization =
            authorization.transpose().map_err(|_| "its authorization is no header's value")?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::config(&options.tls)?)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_COUNT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let agent = HeaderValue::from_str(agent).map_err(|error| error.to_string())?;
        Ok(Webhook { client, url, authorization, agent })
    }
}

#[async_trait]
impl Sender for Webhook {
    async fn send(&self, parcel: Parcel<'_>) -> Result<(), Undelivered> {
        let mut request = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, self.agent.clone());
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let request = request.body(Full::new(parcel.message));
        let request = request.map_err(|error| Undelivered(error.to_string()))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| Undelivered(whole(&error)))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(Undelivered(format!("it answers {status}")));
        }
        // It is acknowledged, whatever comes of the rest.
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn options(url: &str) -> WebhookOptions {
        WebhookOptions { url: url.into(), authorization: None, tls: TlsOptions::default() }
    }

    fn parcel() -> Parcel<'static> {
        Parcel { bucket: "b", key: "k", id: "1".into(), message: Bytes::from_static(b"{}") }
    }

    #[test]
    fn what_is_no_webhook_is_refused() {
        for url in ["", "x", "/path", "ftp://h/", "http://", "http://user:pass@h/", "h:1"] {
            assert!(Webhook::new(options(url), "a").is_err(), "{url}");
        }
        let bad = WebhookOptions { authorization: Some("a\nb".into()), ..options("http://h/") };
        assert!(Webhook::new(bad, "a").is_err());
        let missing = TlsOptions { authorities: Some("/nowhere".into()), ..TlsOptions::default() };
        let missing = Webhook::new(WebhookOptions { tls: missing, ..options("https://h/") }, "a");
        assert!(missing.err().unwrap().contains("/nowhere"));
    }

    /// Answers every request with the same text, and returns what it has read.
    async fn answering(answer: &'static str) -> (String, tokio::task::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            let mut buffer = [0; 4096];
            while !read.ends_with(b"{}") {
                let count = stream.read(&mut buffer).await.unwrap();
                read.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            read
        });
        (url, served)
    }

    #[tokio::test]
    async fn a_message_is_a_post() {
        let (url, served) = answering("HTTP/1.1 204 No Content\r\n\r\n").await;
        let authorization = Some("Bearer secret".to_owned());
        let hook = Webhook::new(WebhookOptions { authorization, ..options(&url) }, "Costrel/1");
        hook.unwrap().send(parcel()).await.unwrap();
        let read = String::from_utf8(served.await.unwrap()).unwrap().to_ascii_lowercase();
        assert!(read.starts_with("post /hook?x=1 http/1.1\r\n"), "{read}");
        for line in ["content-type: application/json", "authorization: bearer secret"] {
            assert!(read.contains(line), "{read}");
        }
        assert!(read.contains("user-agent: costrel/1") && read.ends_with("\r\n\r\n{}"), "{read}");
    }

    #[tokio::test]
    async fn only_success_is_success() {
        for answer in [
            "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "nonsense",
        ] {
            let (url, _served) = answering(answer).await;
            let hook = Webhook::new(options(&url), "a").unwrap();
            assert!(hook.send(parcel()).await.is_err(), "{answer}");
        }
        let hook = Webhook::new(options("http://127.0.0.1:1/"), "a").unwrap();
        let error = hook.send(parcel()).await.unwrap_err();
        assert!(error.0.contains("refused"), "{error}");
    }
}
