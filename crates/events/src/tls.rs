//! TLS towards targets.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Whom a target is believed by, and what is shown to it.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// PEM file of the authorities that a target's certificate may come from; those that
    /// the system trusts if there is none.
    pub authorities: Option<PathBuf>,
    /// PEM files of a certificate, with what leads to its authority, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

pub(crate) fn config(options: &TlsOptions) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &options.authorities {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "a certificate authority of the system cannot be read");
            }
            roots.add_parsable_certificates(found.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let Some((chain, key)) = &options.identity else { return Ok(config.with_no_client_auth()) };
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let config = config.with_client_auth_cert(certificates(chain)?, private);
    config.map_err(|error| format!("{}: {error}", chain.display()))
}

fn certificates(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error| format!("{}: {error}", file.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(wrong)?.collect();
    match found.map_err(wrong)? {
        none if none.is_empty() => Err(format!("{}: there is no certificate", file.display())),
        some => Ok(some),
    }
}
