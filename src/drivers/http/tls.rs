//! TLS to a service that is not ours: whom to trust, the handshake, and what went wrong in words that group.
//!
//! Made by the runner for all connections of a run, carried by the face, used by the connection. Each
//! connection has a handshake of its own and nobody resumes a session: users are different people, and
//! what is measured does not depend on who came before. Bounds no wait: who calls it does.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::environment::external::Trust;

/// The authorities of a large company take less.
const CA_BYTES_MAX: u64 = 4 << 20;
/// What every text of this room begins with.
const TLS: &str = "TLS: ";
/// What those begin with that more trust would help.
const UNTRUSTED: &str = "TLS: certificate is not trusted";
const ERROR_WORDS_MAX: usize = 8;

/// TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of authorities cannot be read.
    #[error("{path}: {reason}; `target.tls.ca` is a file of certificates in PEM", path = path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// This machine trusts nobody.
    #[error(
        "this machine trusts no authority{reason}; install the package ca-certificates, or give a file of \
         certificates (`target.tls.ca`)"
    )]
    NobodyTrusted {
        /// What is wrong with those there are.
        reason: String,
    },
    /// The library refuses.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// How TLS is spoken: versions, ciphers, and whom to trust.
#[derive(Clone)]
pub struct TlsClient(TlsConnector);

/// How TLS is spoken to one host.
#[derive(Clone)]
pub(super) struct TlsTarget {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Reads the certificates of those who are trusted.
    ///
    /// # Errors
    /// If there are none.
    pub fn new(trust: &Trust) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = if trust.verify {
            builder.with_root_certificates(roots(trust)?)
        } else {
            let whoever = Arc::new(Whoever(provider));
            builder
                .dangerous()
                .with_custom_certificate_verifier(whoever)
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// The same for `host`, a name or an address without brackets; `None` if it is neither.
    pub(super) fn to(&self, host: &str) -> Option<TlsTarget> {
        Some(TlsTarget {
            connector: self.0.clone(),
            name: ServerName::try_from(host.to_owned()).ok()?,
        })
    }
}

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsClient")
    }
}

impl TlsTarget {
    /// Agrees on TLS over `stream`.
    pub(super) async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }

    /// The name that the certificate must have.
    #[cfg(test)]
    pub(super) fn name(&self) -> String {
        self.name.to_str().into_owned()
    }
}

impl std::fmt::Debug for TlsTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TlsTarget").field(&self.name).finish()
    }
}

fn roots(trust: &Trust) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &trust.ca {
        let refuse = |reason: String| TlsError::Ca {
            path: path.clone(),
            reason,
        };
        let text = read(path).map_err(|error| refuse(error.to_string()))?;
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
            let added = roots.add(certificate);
            // The library speaks of a peer here.
            added.map_err(|_| refuse("a certificate in it cannot be read".to_owned()))?;
        }
        if roots.is_empty() {
            return Err(refuse("no certificate is in it".to_owned()));
        }
        return Ok(roots);
    }
    let found = rustls_native_certs::load_native_certs();
    // A machine may keep some that nobody can read any more.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map(|error| format!(" ({error})"));
        return Err(TlsError::NobodyTrusted {
            reason: reason.unwrap_or_default(),
        });
    }
    Ok(roots)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe or a device could keep us waiting for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("this is not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?
        .take(CA_BYTES_MAX + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > CA_BYTES_MAX {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(text)
}

/// Trusts whoever answers, if only he has the key of the certificate that he shows.
#[derive(Debug)]
struct Whoever(Arc<CryptoProvider>);

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Whether TLS said `error`, and not the network.
pub(super) fn is_of_tls(error: &io::Error) -> bool {
    inner(error).is_some()
}

fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What went wrong with TLS, in words that group well: without names, times and numbers.
pub(super) fn failure_text(error: &io::Error) -> String {
    let Some(inner) = inner(error) else {
        let text = match (error.kind(), super::io_text(error)) {
            (ErrorKind::UnexpectedEof, _) => "connection closed in the handshake".to_owned(),
            (_, Some(text)) => return text.to_owned(),
            (_, None) => words(error),
        };
        return format!("{TLS}{text}");
    };
    let text = match inner {
        rustls::Error::InvalidCertificate(why) => return format!("{UNTRUSTED}: {}", distrust(why)),
        rustls::Error::AlertReceived(alert) => {
            format!("the server refuses: {}", spaced(&format!("{alert:?}")))
        }
        rustls::Error::PeerIncompatible(_) => "no version or cipher in common".to_owned(),
        rustls::Error::InvalidMessage(_) => "what answers does not speak TLS".to_owned(),
        other => words(other),
    };
    format!("{TLS}{text}")
}

/// What is wrong with a certificate.
fn distrust(why: &CertificateError) -> String {
    let text = match why {
        CertificateError::UnknownIssuer => "unknown issuer",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "made for another name"
        }
        CertificateError::Revoked => "revoked",
        CertificateError::BadSignature => "not signed by the authority of that name",
        CertificateError::BadEncoding => "it cannot be read",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "not made for a server"
        }
        // The library's own words for the rest, such as `CaUsedAsEndEntity`.
        other => return spaced(&words(other)),
    };
    text.to_owned()
}

fn words(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().take(ERROR_WORDS_MAX).collect();
    words.join(" ")
}

/// `CertificateRequired` as `certificate required`.
fn spaced(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && text.ends_with(|last: char| last.is_ascii_lowercase()) {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// What to do about an error of a request, if TLS made it.
pub fn advice(error: &str) -> Option<&'static str> {
    if error.starts_with(UNTRUSTED) {
        return Some(
            "give the certificate of the authority that signed it (`target.tls: { ca: FILE }` in the \
             scenario), use the name it was made for, or trust whoever answers \
             (`--set target.tls.verify=false`)",
        );
    }
    error
        .starts_with(TLS)
        .then_some("is TLS spoken there? if not, write http:// in `target.url`")
}

#[cfg(test)]
mod tests;
