//! Documents of identity providers, over HTTP/1.1: the one thing that the server calls
//! others for.
//!
//! A document is small and comes soon, or not at all. Without TLS only this machine is
//! called; over TLS a server shows a certificate of an authority that the system trusts,
//! or one whose SHA-1 whoever registered the provider has written down.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use costrel_protocol::{Documents, FetchError};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// How long a document may take, from the name's resolution to its last byte.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Longest document.
const BYTES_MAX: usize = 256 << 10;

/// Fetches what others publish.
pub struct Fetcher {
    provider: Arc<CryptoProvider>,
    /// The system's authorities, read when they are first needed.
    roots: OnceLock<Arc<RootCertStore>>,
    agent: String,
}

impl Fetcher {
    pub fn new(version: &str) -> Fetcher {
        Fetcher {
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            roots: OnceLock::new(),
            agent: format!("Costrel/{version}"),
        }
    }

    async fn document(&self, url: &str, thumbprints: &[String]) -> Result<Bytes, String> {
        let url: Uri = url.parse().map_err(|_| "it is no URL")?;
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'));
        let host = authority.ok_or("it has no host")?.host();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let secure = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("its scheme is neither https nor http".into()),
        };
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let mut failure = "its host has no address".to_owned();
        let addresses = lookup_host((name, port)).await.map_err(|error| error.to_string())?;
        for address in addresses {
            if !secure && !address.ip().to_canonical().is_loopback() {
                return Err("it has no TLS and is not of this machine".into());
            }
            match TcpStream::connect(address).await {
                Err(error) => failure = error.to_string(),
                Ok(stream) if secure => {
                    let connector = TlsConnector::from(self.tls(thumbprints).await?);
                    let name = ServerName::try_from(name.to_owned()).map_err(|e| e.to_string())?;
                    let stream = connector.connect(name, stream).await;
                    return self.get(&url, stream.map_err(|error| error.to_string())?).await;
                }
                Ok(stream) => return self.get(&url, stream).await,
            }
        }
        Err(failure)
    }

    async fn get<S>(&self, url: &Uri, stream: S) -> Result<Bytes, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let failed = |error: hyper::Error| error.to_string();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // Ends with the answer: nothing is kept open.
        let connection = tokio::spawn(connection);
        let host = url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let target = url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(target)
            .header(header::HOST, host)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, &self.agent)
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let answered = async {
            let answer = sender.send_request(request).await.map_err(failed)?;
            match answer.status() {
                StatusCode::OK => {
                    let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await;
                    Ok(body.map_err(|error| error.to_string())?.to_bytes())
                }
                status => Err(format!("it answers {status}")),
            }
        };
        let answered = answered.await;
        connection.abort();
        answered
    }

    async fn tls(&self, thumbprints: &[String]) -> Result<Arc<ClientConfig>, String> {
        let roots = match self.roots.get() {
            Some(roots) => roots.clone(),
            None => {
                // Hundreds of files, perhaps.
                let read = tokio::task::spawn_blocking(system_roots).await;
                let read = Arc::new(read.map_err(|error| error.to_string())?);
                self.roots.get_or_init(|| read).clone()
            }
        };
        let verifier = Thumbprinted {
            roots,
            thumbprints: thumbprints.to_vec(),
            provider: self.provider.clone(),
        };
        let config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

impl Documents for Fetcher {
    fn fetch<'a>(
        &'a self,
        url: &'a str,
        thumbprints: &'a [String],
    ) -> futures_util::future::BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async move {
            let fetched = tokio::time::timeout(TIME_MAX, self.document(url, thumbprints)).await;
            let fetched = fetched.unwrap_or_else(|_| Err("it takes too long".into()));
            fetched.map_err(|error| FetchError(format!("{url}: {error}")))
        })
    }
}

/// The authorities that the system trusts.
pub fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate authority of the system cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

/// Trusts the system's authorities, and certificates of known SHA-1 as if they were
/// among them: names, times and signatures are checked all the same. (AWS.)
#[derive(Debug)]
struct Thumbprinted {
    roots: Arc<RootCertStore>,
    /// Lower-case hexadecimal.
    thumbprints: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl Thumbprinted {
    fn verifier(
        &self,
        roots: Arc<RootCertStore>,
    ) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        WebPkiServerVerifier::builder_with_provider(roots, self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))
    }
}

impl ServerCertVerifier for Thumbprinted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let by_roots = match self.roots.is_empty() {
            true => Err(rustls::CertificateError::UnknownIssuer.into()),
            false => self.verifier(self.roots.clone())?.verify_server_cert(
                end_entity,
                intermediates,
                name,
                ocsp,
                now,
            ),
        };
        let mut known = RootCertStore::empty();
        for certificate in intermediates.iter().chain([end_entity]) {
            let hash = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate));
            if self.thumbprints.contains(&hash) {
                known.add(certificate.clone().into_owned())?;
            }
        }
        if by_roots.is_ok() || known.is_empty() {
            return by_roots;
        }
        let verifier = self.verifier(Arc::new(known))?;
        verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
