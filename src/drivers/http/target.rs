//! Where requests go: a base URL, read once and not again for each request.
//!
//! Used by the HTTP caller. Connects nothing.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

use super::super::DriverError;
use super::tls::{TlsClient, TlsTarget};
use crate::environment::external::url::base_url;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A service to send requests to.
#[derive(Debug)]
pub(super) struct Target {
    /// What its requests say in `Host`.
    pub(super) host: HeaderValue,
    /// Where it listens.
    pub(super) address: Address,
    /// How TLS is spoken there, if it is.
    pub(super) tls: Option<TlsTarget>,
    /// What stands before the path of each request; without a slash at the end.
    base_path: String,
}

/// Where a target listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// At a number.
    Known(SocketAddr),
    /// At a name, which is looked up for each new connection.
    Named(String, u16),
}

impl Target {
    /// Reads `http://host[:port][/path]`, or the same with `https`, which is spoken as `tls` says.
    ///
    /// # Errors
    /// If it is anything else.
    pub(super) fn parse(url: &str, tls: Option<&TlsClient>) -> Result<Self, DriverError> {
        let refuse = |problem: &str| DriverError::Target {
            url: url.to_owned(),
            problem: problem.to_owned(),
        };
        let uri = base_url(url).map_err(|problem| refuse(&problem))?;
        let authority = uri.authority().ok_or_else(|| refuse("it has no host"))?;
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|error| refuse(&format!("its host cannot be sent ({error})")))?;
        let over_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let usual_port = if over_tls { HTTPS_PORT } else { HTTP_PORT };
        let port = authority.port_u16().unwrap_or(usual_port);
        let name = authority.host();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let address = match bare.parse::<IpAddr>() {
            Ok(ip) => Address::Known(SocketAddr::new(ip, port)),
            Err(_) => Address::Named(name.to_owned(), port),
        };
        let tls = if over_tls {
            let tls = tls.ok_or_else(|| refuse("nobody says whom to trust there"))?;
            let tls = tls.to(bare);
            Some(tls.ok_or_else(|| refuse("its host cannot stand in a certificate"))?)
        } else {
            None
        };
        Ok(Self {
            host,
            address,
            tls,
            base_path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// What a request for `path` says in its first line.
    ///
    /// # Errors
    /// If `path` holds what may not stand in a URL.
    pub(super) fn uri_of(&self, path: String) -> Result<Uri, http::Error> {
        let path = if self.base_path.is_empty() {
            path
        } else {
            format!("{}{path}", self.base_path)
        };
        let path = PathAndQuery::from_maybe_shared(Bytes::from(path))?;
        Ok(Uri::from(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::external::Trust;

    fn parsed(url: &str) -> String {
        let trust = Trust {
            ca: None,
            verify: false,
        };
        let tls = TlsClient::new(&trust).expect("nothing is read");
        match Target::parse(url, Some(&tls)) {
            Ok(target) => {
                let uri = target.uri_of("/a?b=c".to_owned()).expect("a path");
                let host = target.host.to_str().expect("plain");
                let tls = target.tls.map(|tls| format!(" as {}", tls.name()));
                let tls = tls.unwrap_or_default();
                format!("{host} {:?}{tls} {uri}", target.address)
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_base_url_is_a_host_an_address_and_a_path() {
        insta::assert_snapshot!(parsed("http://127.0.0.1:8080"), @"127.0.0.1:8080 Known(127.0.0.1:8080) /a?b=c");
        insta::assert_snapshot!(parsed("http://[::1]:8080/"), @"[::1]:8080 Known([::1]:8080) /a?b=c");
        insta::assert_snapshot!(parsed("http://shop.test/api/v1"), @r#"shop.test Named("shop.test", 80) /api/v1/a?b=c"#);
        insta::assert_snapshot!(parsed("https://shop.test/api/"), @r#"shop.test Named("shop.test", 443) as shop.test /api/a?b=c"#);
        insta::assert_snapshot!(parsed("https://[::1]:8443"), @"[::1]:8443 Known([::1]:8443) as ::1 /a?b=c");
    }

    #[test]
    fn what_is_no_base_url_is_refused_with_a_reason() {
        insta::assert_snapshot!(parsed("https://-shop.test"), @"nothing can be sent to `https://-shop.test`: its host cannot stand in a certificate");
        insta::assert_snapshot!(parsed("shop.test:80"), @"nothing can be sent to `shop.test:80`: it must begin with http:// or https://");
        insta::assert_snapshot!(parsed("ftp://shop.test"), @"nothing can be sent to `ftp://shop.test`: it must begin with http:// or https://");
        insta::assert_snapshot!(parsed("http://me:secret@shop.test"), @"nothing can be sent to `http://me:secret@shop.test`: it must not hold a user name or a password");
        insta::assert_snapshot!(parsed("http://shop.test/?a=b"), @"nothing can be sent to `http://shop.test/?a=b`: it must not have a query");
        insta::assert_snapshot!(parsed("http://"), @"nothing can be sent to `http://`: it is no URL (empty string)");
        insta::assert_snapshot!(parsed("http://a b"), @"nothing can be sent to `http://a b`: it is no URL (invalid uri character)");
    }
}
