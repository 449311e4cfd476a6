//! Requests over TLS, to peers that are to be trusted and to peers that are not.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

use super::*;
use crate::clock::Clock;
use crate::drivers::crowd::{Call, Caller as _};
use crate::drivers::http::connection::Failure;
use crate::drivers::http::face::{Face, InstanceFace, Meaning, Question};
use crate::drivers::http::{HttpCaller, HttpTargets};
use crate::engine::data_type::{DataType, DataTypeId, KeyPattern, PolicyTable, Strategy};
use crate::engine::layer::Operation;
use crate::environment::managed_redis::tls::Certificate;
use crate::measure::PhaseId;
use crate::units::ByteSize;
use crate::workload::size::ValueSizes;
use crate::workload::{KeyParams, Request, UserKindId};

const HIT: &[u8] = b"HTTP/1.1 200 OK\r\ncache-status: local; hit\r\ncontent-length: 2\r\n\r\n{}";
const PATIENCE: Duration = Duration::from_secs(10);

/// The built-in protocol, over TLS.
struct Secured(InstanceFace, TlsClient);

impl Face for Secured {
    fn question(&self, call: &Call<'_>) -> Question {
        self.0.question(call)
    }

    fn meaning(
        &self,
        call: &Call<'_>,
        status: http::StatusCode,
        headers: &http::HeaderMap,
    ) -> Meaning {
        self.0.meaning(call, status, headers)
    }

    fn tls(&self) -> Option<&TlsClient> {
        Some(&self.1)
    }
}

/// Asks `url` so many times, one after another and so long apart; gives what became of it, and how many
/// connections it took.
async fn ask_slowly(
    url: &str,
    trust: &Trust,
    (times, timeout, apart): (u32, Duration, Duration),
) -> (Vec<String>, u64) {
    let key = "product:{product_id}".parse::<KeyPattern>().expect("a key");
    let row = DataType::new("product", key, Strategy::CacheAside, Duration::from_mins(1));
    let policies = Arc::new(PolicyTable::new(vec![row]));
    let face = InstanceFace {
        policies: Arc::clone(&policies),
        value_sizes: ValueSizes::constant(&[ByteSize(8)]),
    };
    let to = HttpTargets {
        urls: vec![url.to_owned()],
        request_timeout: timeout,
        connections_max: 4,
    };
    let face = Secured(face, TlsClient::new(trust).expect("whom to trust"));
    let clock = Clock::real();
    let caller = HttpCaller::new(face, policies, clock.clone(), &to).expect("a good target");
    let request = Request {
        data_type: DataTypeId(0),
        operation: Operation::Get,
        params: KeyParams::new(&[5]),
    };
    let mut said = Vec::new();
    for sequence in 0..times {
        let call = Call {
            instance: 0,
            request: &request,
            user: 1,
            sequence: sequence.into(),
            user_kind: UserKindId::default(),
            phase: PhaseId(0),
            intended_start: clock.now(),
            waited: Duration::ZERO,
        };
        let sample = caller.call(call).await;
        let outcome = format!("{:?}", sample.outcome);
        said.push(sample.error.unwrap_or(outcome));
        clock.sleep(apart).await;
    }
    (said, caller.gauge().read().opened)
}

async fn ask(url: &str, trust: &Trust, (times, timeout): (u32, Duration)) -> (Vec<String>, u64) {
    ask_slowly(url, trust, (times, timeout, Duration::ZERO)).await
}

/// What becomes of one request.
async fn one(url: &str, trust: &Trust) -> String {
    let (mut said, _) = ask(url, trust, (1, PATIENCE)).await;
    said.pop().expect("one")
}

/// How a server ends a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// Not at all.
    Never,
    /// As TLS wants it.
    Told,
    /// Without a word.
    Silent,
}

/// A server with a certificate, that answers every request with a hit if HTTP/1.1 was agreed on.
struct Peer {
    url: String,
    folder: tempfile::TempDir,
}

impl Peer {
    /// Listens at `address` and speaks `version`.
    async fn at(address: &str, version: &'static SupportedProtocolVersion) -> Self {
        Self::with(address, version, (HIT.to_vec(), End::Never)).await
    }

    async fn with(
        address: &str,
        version: &'static SupportedProtocolVersion,
        (answer, end): (Vec<u8>, End),
    ) -> Self {
        let made = Certificate::make().expect("a certificate");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificate = CertificateDer::from_pem_slice(made.server.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).expect("a key");
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("a certificate")], key)
            .expect("they fit");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let agreed = stream.get_ref().1.alpn_protocol() == Some(b"http/1.1");
                    let (mut heard, mut byte) = (Vec::new(), [0]);
                    while agreed && matches!(stream.read(&mut byte).await, Ok(1)) {
                        heard.push(byte[0]);
                        if heard.ends_with(b"\r\n\r\n") {
                            heard.clear();
                            stream.write_all(&answer).await.expect("sent");
                            stream.flush().await.expect("sent");
                            match end {
                                End::Never => {}
                                End::Told => return stream.shutdown().await.expect("told"),
                                End::Silent => return,
                            }
                        }
                    }
                });
            }
        });
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), made.ca).expect("written");
        Self { url, folder }
    }

    fn trust(&self) -> Trust {
        Trust {
            ca: Some(self.folder.path().join("ca.pem")),
            verify: true,
        }
    }
}

/// A server without TLS that does with each connection what it is told.
async fn without_tls(answer: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 16];
            let heard = stream.read(&mut hello).await;
            assert!(heard.is_ok());
            if let Some(answer) = answer {
                let sent = stream.write_all(answer).await;
                assert!(sent.is_ok());
            }
            // What was not read would be answered by a reset.
            let mut rest = [0; 1 << 14];
            let _ = stream.shutdown().await;
            while matches!(stream.read(&mut rest).await, Ok(1..)) {}
        }
    });
    url
}

/// An authority that signed nothing here.
fn stranger() -> String {
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let name = rcgen::DnType::CommonName;
    ca.distinguished_name.push(name, "somebody else");
    let key = rcgen::KeyPair::generate().expect("a key");
    ca.self_signed(&key).expect("signed").pem()
}

fn whoever() -> Trust {
    Trust {
        ca: None,
        verify: false,
    }
}

#[tokio::test]
async fn a_trusted_peer_is_asked_on_one_connection() {
    for version in [&TLS12, &TLS13] {
        let peer = Peer::at("127.0.0.1", version).await;
        let (said, opened) = ask(&peer.url, &peer.trust(), (20, PATIENCE)).await;
        assert_eq!(said, ["Hit"; 20], "{version:?}");
        assert_eq!(opened, 1);
    }
}

#[tokio::test]
async fn large_answers_are_read_to_their_end() {
    let head = "HTTP/1.1 200 OK\r\ncache-status: local; hit\r\ncontent-length: 3000000\r\n\r\n";
    let mut answer = head.as_bytes().to_vec();
    answer.resize(answer.len() + 3_000_000, b'x');
    let peer = Peer::with("127.0.0.1", &TLS13, (answer, End::Never)).await;
    let (said, opened) = ask(&peer.url, &peer.trust(), (3, PATIENCE)).await;
    assert_eq!((said, opened), (vec!["Hit".to_owned(); 3], 1));
}

#[tokio::test]
async fn a_peer_that_closes_idle_connections_is_met_with_new_ones() {
    for (version, end) in [
        (&TLS12, End::Told),
        (&TLS13, End::Told),
        (&TLS12, End::Silent),
        (&TLS13, End::Silent),
    ] {
        let peer = Peer::with("127.0.0.1", version, (HIT.to_vec(), end)).await;
        // So long apart that somebody must look.
        let calm = (3, PATIENCE, Duration::from_millis(50));
        let (said, opened) = ask_slowly(&peer.url, &peer.trust(), calm).await;
        assert_eq!(said, ["Hit"; 3], "{version:?} {end:?}");
        assert_eq!(opened, 3);
    }
}

#[tokio::test]
async fn a_name_is_looked_up_and_checked() {
    let peer = Peer::at("127.0.0.1", &TLS13).await;
    let named = peer.url.replace("127.0.0.1", "localhost");
    assert_eq!(one(&named, &peer.trust()).await, "Hit");
    let elsewhere = Peer::at("127.0.0.2", &TLS13).await;
    let told = one(&elsewhere.url, &elsewhere.trust()).await;
    insta::assert_snapshot!(told, @"TLS: certificate is not trusted: made for another name");
    assert_eq!(one(&elsewhere.url, &whoever()).await, "Hit");
}

#[tokio::test]
async fn nobody_is_trusted_whom_no_authority_knows() {
    let (peer, other) = (
        Peer::at("127.0.0.1", &TLS13).await,
        Peer::at("127.0.0.1", &TLS12).await,
    );
    std::fs::write(peer.folder.path().join("ca.pem"), stranger()).expect("written");
    let told = one(&peer.url, &peer.trust()).await;
    insta::assert_snapshot!(told, @"TLS: certificate is not trusted: unknown issuer");
    assert!(advice(&told).is_some_and(|advice| advice.contains("tls: { ca: FILE }")));
    assert_eq!(one(&peer.url, &whoever()).await, "Hit");
    // An authority that says it is the one that signed.
    let told = one(&peer.url, &other.trust()).await;
    insta::assert_snapshot!(told, @"TLS: certificate is not trusted: not signed by the authority of that name");
    assert_eq!(one(&other.url, &other.trust()).await, "Hit");
}

#[tokio::test]
async fn who_does_not_speak_tls_is_told_so() {
    let url = without_tls(Some(b"HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let told = one(&url, &whoever()).await;
    insta::assert_snapshot!(told, @"TLS: what answers does not speak TLS");
    assert!(advice(&told).is_some_and(|advice| advice.contains("http://")));
    let url = without_tls(None).await;
    insta::assert_snapshot!(one(&url, &whoever()).await, @"TLS: connection closed in the handshake");
    assert_eq!(advice("connection refused"), None);
}

#[tokio::test]
async fn a_handshake_takes_no_longer_than_a_request_may() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("bound"));
    let (said, opened) = ask(&url, &whoever(), (1, Duration::from_millis(50))).await;
    assert_eq!((said, opened), (vec!["timeout".to_owned()], 0));
}

#[test]
fn alerts_and_rare_mistakes_group() {
    let text = |error: rustls::Error| failure_text(&io::Error::new(ErrorKind::InvalidData, error));
    let alert = rustls::AlertDescription::CertificateRequired;
    insta::assert_snapshot!(text(rustls::Error::AlertReceived(alert)), @"TLS: the server refuses: certificate required");
    // An answer may be a refusal, too: those of TLS 1.3 come late.
    let late = io::Error::new(ErrorKind::InvalidData, rustls::Error::AlertReceived(alert));
    let late = Failure::Connect(late);
    insta::assert_snapshot!(super::super::failure_text(&late), @"TLS: the server refuses: certificate required");
    let expired = CertificateError::Expired;
    insta::assert_snapshot!(text(expired.into()), @"TLS: certificate is not trusted: expired");
    let incompatible = rustls::PeerIncompatible::NoCipherSuitesInCommon;
    insta::assert_snapshot!(text(incompatible.into()), @"TLS: no version or cipher in common");
    insta::assert_snapshot!(failure_text(&io::Error::from(ErrorKind::ConnectionReset)), @"connection reset");
}

#[test]
fn a_file_of_authorities_that_cannot_be_read_is_told_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = |name: &str, text: Option<&str>| {
        let path = folder.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).expect("written");
        }
        let trust = Trust {
            ca: Some(path.clone()),
            verify: true,
        };
        let error = TlsClient::new(&trust).expect_err("it is refused");
        error
            .to_string()
            .replace(&path.display().to_string(), "[file]")
    };
    insta::assert_snapshot!(told("nowhere.pem", None), @"[file]: No such file or directory (os error 2); `target.tls.ca` is a file of certificates in PEM");
    insta::assert_snapshot!(told("empty.pem", Some("not a certificate")), @"[file]: no certificate is in it; `target.tls.ca` is a file of certificates in PEM");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    insta::assert_snapshot!(told("broken.pem", Some(broken)), @"[file]: a certificate in it cannot be read; `target.tls.ca` is a file of certificates in PEM");
    insta::assert_snapshot!(told("", None), @"[file]: this is not a regular file; `target.tls.ca` is a file of certificates in PEM");
}
