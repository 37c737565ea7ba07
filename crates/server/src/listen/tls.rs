//! The certificate of the TLS endpoint, exchanged without a restart.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use costrel_protocol::TlsVersion;
use parking_lot::{Mutex, RwLock};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ProtocolVersion, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {source}")]
    Pem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{path} holds no certificate")]
    NoCertificate { path: PathBuf },
    #[error("certificate and key: {0}")]
    Pair(#[from] rustls::Error),
}

/// A certificate and its key, in files. New connections get what was loaded
/// last; open ones keep theirs.
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    stamps: Mutex<[Option<Stamp>; 2]>,
}

/// Tells one state of a file from another: inode, size, and time of change.
type Stamp = (u64, u64, i64, i64);

impl Certificate {
    pub fn load(cert: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let stamps = stamps(cert, key);
        Ok(Arc::new(Certificate {
            cert: cert.to_owned(),
            key: key.to_owned(),
            current: RwLock::new(read_pair(cert, key)?),
            stamps: Mutex::new(stamps),
        }))
    }

    /// Loads the files again if they changed since they were last looked at, or
    /// always with `force`. After an error the former certificate stays.
    pub fn reload(&self, force: bool) -> Result<bool, TlsError> {
        let mut known = self.stamps.lock();
        let now = stamps(&self.cert, &self.key);
        if *known == now && !force {
            return Ok(false);
        }
        // Also after an error: the same broken files are reported once.
        *known = now;
        *self.current.write() = read_pair(&self.cert, &self.key)?;
        Ok(true)
    }

    /// Accepts TLS connections with whatever certificate is current then.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// What a connection came to speak: one of two, which are all that rustls has.
pub fn version<S>(stream: &TlsStream<S>) -> TlsVersion {
    match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
        _ => TlsVersion::Tls12,
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().clone())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("cert", &self.cert).finish_non_exhaustive()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn stamps(cert: &Path, key: &Path) -> [Option<Stamp>; 2] {
    [cert, key].map(|path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    })
}

fn read_pair(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(cert))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: cert.to_owned() });
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    // Fails when the key is not the certificate's.
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &provider())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        dir: tempfile::TempDir,
    }

    impl Files {
        fn write(&self, name: &str) -> (String, String) {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
            std::fs::write(self.cert(), &cert).unwrap();
            std::fs::write(self.key(), &key).unwrap();
            (cert, key)
        }

        fn cert(&self) -> PathBuf {
            self.dir.path().join("cert.pem")
        }

        fn key(&self) -> PathBuf {
            self.dir.path().join("key.pem")
        }
    }

    fn leaf(certificate: &Certificate) -> Vec<u8> {
        certificate.current.read().cert[0].to_vec()
    }

    #[test]
    fn changed_files_are_loaded_and_broken_ones_are_not() {
        let files = Files { dir: tempfile::tempdir().unwrap() };
        let (old_cert, old_key) = files.write("old.example");
        let certificate = Certificate::load(&files.cert(), &files.key()).unwrap();
        let old = leaf(&certificate);
        assert!(!certificate.reload(false).unwrap(), "nothing changed");

        let (_, new_key) = files.write("new.example");
        assert!(certificate.reload(false).unwrap());
        let new = leaf(&certificate);
        assert_ne!(new, old);

        // A key that is not the certificate's, as in the middle of an exchange.
        std::fs::write(files.cert(), &old_cert).unwrap();
        std::fs::write(files.key(), &new_key).unwrap();
        assert!(matches!(certificate.reload(false), Err(TlsError::Pair(_))));
        assert_eq!(leaf(&certificate), new);
        assert!(!certificate.reload(false).unwrap(), "reported once");

        std::fs::write(files.cert(), "").unwrap();
        assert!(matches!(certificate.reload(false), Err(TlsError::NoCertificate { .. })));

        std::fs::write(files.cert(), &old_cert).unwrap();
        std::fs::write(files.key(), &old_key).unwrap();
        assert!(certificate.reload(false).unwrap());
        assert_eq!(leaf(&certificate), old);
    }
}
