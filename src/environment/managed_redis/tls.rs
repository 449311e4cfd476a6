//! The certificate of a managed Redis: made for one run, trusted by nobody else. Tests give it to other
//! servers, too.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::environment::error::EnvironmentError;

/// A server's certificate for the loopback interface, with whoever signed it. All in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Of the authority.
    pub ca: String,
    /// Of the server.
    pub server: String,
    /// The server's key.
    pub key: String,
}

impl Certificate {
    /// Makes a new one, and a new authority that signs nothing else.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn make() -> Result<Self, EnvironmentError> {
        Self::try_make().map_err(|error| EnvironmentError::Certificate {
            reason: error.to_string(),
        })
    }

    fn try_make() -> Result<Self, rcgen::Error> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        ca.distinguished_name.push(DnType::CommonName, "cachestorm");
        let ca_key = KeyPair::generate()?;
        let ca_pem = ca.self_signed(&ca_key)?.pem();

        let mut server =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        let name = "a managed redis-server";
        server.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let issuer = Issuer::from_params(&ca, &ca_key);
        Ok(Self {
            ca: ca_pem,
            server: server.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_a_certificate_of_its_own() {
        let (one, two) = (Certificate::make(), Certificate::make());
        let (one, two) = (one.expect("made"), two.expect("made"));
        assert!(
            one.ca.starts_with("-----BEGIN CERTIFICATE-----"),
            "{}",
            one.ca
        );
        assert!(one.key.contains("PRIVATE KEY"), "{}", one.key);
        assert!(one.ca != two.ca && one.server != one.ca && one.key != two.key);
    }
}
