//! Certificates as they stand in PEM files: who the gateway is to its clients, and whom it trusts
//! beside the public authorities.
//!
//! Given the texts, it makes what rustls serves and calls with, or says what is wrong with them.
//! No message holds anything of a key. It reads no file and no clock.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::{
    CertificateError, ClientConfig, Error, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

/// Older ones are forbidden (RFC 8996).
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
/// What clients may choose by ALPN, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// What a key that only a password opens begins with.
const ENCRYPTED: [&str; 2] = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"];

/// Why a file can't be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PemError {
    #[error("holds no certificate: PEM is expected, `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    #[error("holds no private key: PEM is expected, `-----BEGIN PRIVATE KEY-----`")]
    NoKey,
    #[error("the private key is encrypted: nobody could type its password at a start")]
    Encrypted,
    #[error("holds a private key of a kind that can't be used")]
    KeyKind,
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    #[error("certificate {number} can't be used: {cause}")]
    Certificate { number: usize, cause: Error },
}

/// A certificate with its chain and key, ready to be shown to clients.
#[derive(Debug, Clone)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    config: Arc<ServerConfig>,
}

/// Authorities that are trusted beside the public ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

// === impl Identity ===

impl Identity {
    /// Reads a chain, the gateway's own certificate first, and the key that belongs to it.
    ///
    /// # Errors
    /// If there is no certificate, or it can't be used.
    pub fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
        let chain = certificates(pem)?;
        for (index, certificate) in chain.iter().enumerate() {
            ParsedCertificate::try_from(certificate).map_err(|cause| PemError::Certificate {
                number: index + 1,
                cause,
            })?;
        }
        Ok(chain)
    }

    /// The identity of a chain and the key that belongs to it.
    ///
    /// # Errors
    /// If there is no key, it can't be used, or it belongs to another certificate.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: &str) -> Result<Self, PemError> {
        if ENCRYPTED.iter().any(|mark| key.contains(mark)) {
            return Err(PemError::Encrypted);
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| PemError::NoKey)?;
        let provider = provider();
        let certified = CertifiedKey::from_der(chain.clone(), key, &provider);
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(_) => PemError::Mismatch,
            _ => PemError::KeyKind,
        })?;
        let mut config = ServerConfig::builder_with_protocol_versions(&VERSIONS)
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            chain,
            config: Arc::new(config),
        })
    }

    /// What a handshake with a client is made with.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Why clients will refuse it at that moment, if its time is over or has not begun.
    #[must_use]
    pub fn lapse(&self, now: Timestamp) -> Option<String> {
        let certificate = ParsedCertificate::try_from(self.chain.first()?).ok()?;
        // there is no issuer to be found; but a time that does not fit is told first
        let outcome = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &RootCertStore::empty(),
            &[],
            unix(now),
            provider().signature_verification_algorithms.all,
        );
        match outcome {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) => Some(format!("expired on {}", date(not_after))),
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before,
                ..
            })) => Some(format!("is not valid before {}", date(not_before))),
            _ => None,
        }
    }
}

impl PartialEq for Identity {
    /// Another key needs another certificate, so the chain tells them apart.
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

impl Eq for Identity {}

// === impl Authorities ===

impl Authorities {
    /// Reads a bundle.
    ///
    /// # Errors
    /// If there is no certificate, or one of them can't be used.
    pub fn read(pem: &str) -> Result<Self, PemError> {
        let bundle = certificates(pem)?;
        let mut store = RootCertStore::empty();
        for (index, certificate) in bundle.iter().enumerate() {
            let number = index + 1;
            store
                .add(certificate.clone())
                .map_err(|cause| PemError::Certificate { number, cause })?;
        }
        Ok(Self(bundle))
    }
}

/// What backends are called with: the public authorities and these are trusted, and a certificate
/// is always verified.
#[must_use]
pub fn client_config(more: Option<&Authorities>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(Authorities(bundle)) = more {
        // each of them was tried when it was read
        roots.add_parsable_certificates(bundle.iter().cloned());
    }
    ClientConfig::builder_with_protocol_versions(&VERSIONS)
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The one cryptography library of the program, which rustls takes by itself too.
fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    // what is wrong with the PEM is not repeated: a key may stand in the same file
    let found = found.map_err(|_| PemError::NoCertificate)?;
    if found.is_empty() {
        return Err(PemError::NoCertificate);
    }
    Ok(found)
}

fn unix(now: Timestamp) -> UnixTime {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn date(moment: UnixTime) -> String {
    let seconds = i64::try_from(moment.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| "an unknown date".into(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn identity(chain: &str, key: &str) -> Result<Identity, PemError> {
        Identity::new(Identity::chain(chain)?, key)
    }

    #[test]
    fn a_certificate_with_its_own_key_is_an_identity_and_another_key_is_a_mistake() {
        let ((certificate, key), (_, other)) = (made(), made());
        assert!(identity(&certificate, &key).is_ok());
        let error = identity(&certificate, &other).unwrap_err();
        assert_eq!(error, PemError::Mismatch);
    }

    #[test]
    fn each_file_that_is_not_what_it_should_be_is_told_apart() {
        let (certificate, key) = made();
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8gd29ybGQ=\n-----END CERTIFICATE-----\n";
        let of = |chain: &str, key: &str| identity(chain, key).unwrap_err();
        assert_eq!(of("hello", &key), PemError::NoCertificate);
        assert_eq!(of(&key, &key), PemError::NoCertificate);
        assert_eq!(of(&certificate, &certificate), PemError::NoKey);
        assert_eq!(of(&certificate, encrypted), PemError::Encrypted);
        let both = format!("{certificate}{broken}");
        let second = |error| matches!(error, PemError::Certificate { number: 2, .. });
        assert!(second(of(&both, &key)));
        assert!(second(Authorities::read(&both).unwrap_err()));
        assert_eq!(Authorities::read("").unwrap_err(), PemError::NoCertificate);
    }

    #[test]
    fn a_certificate_whose_time_is_over_or_not_begun_is_noticed() {
        let (certificate, key) = made();
        let identity = identity(&certificate, &key).unwrap();
        let lapse = |moment: &str| identity.lapse(moment.parse().unwrap());
        assert_eq!(lapse("2025-01-01T00:00:00Z"), None);
        assert_eq!(
            lapse("2031-01-01T00:00:00Z").unwrap(),
            "expired on 2030-01-01T00:00:00Z"
        );
        assert_eq!(
            lapse("2019-01-01T00:00:00Z").unwrap(),
            "is not valid before 2020-01-01T00:00:00Z"
        );
    }
}
