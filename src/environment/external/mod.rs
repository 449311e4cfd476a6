//! A service that is not ours: where it is, how it is asked, and how its answers are read.
//!
//! Made by the scenario, held by the HTTP driver's face for it. Pure: it sends nothing. What such a
//! service keeps, and by which policy, nobody here knows; whatever rests on that (staleness, origin
//! queries, layers seen from inside) is not known of it.

pub mod answer;
pub mod field;
pub mod template;
pub mod url;

use std::fmt;
use std::path::PathBuf;

use http::header::HeaderName;
use http::{Method, StatusCode};

use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Operation;
use answer::Telling;
use field::FieldValue;
use template::Template;

/// A service that is not ours.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalService {
    /// Its base URLs; each request goes to one of them.
    pub urls: Vec<String>,
    /// Whom to trust at those that begin with `https`.
    pub tls: Trust,
    /// Fields of every request.
    pub headers: Vec<(HeaderName, FieldValue)>,
    /// How each operation is asked, in the order written.
    pub operations: Vec<AskedSo>,
    /// Where it says what its cache did.
    pub outcome: Telling,
    /// The statuses that are no errors; `None`: by operation, [`Statuses::usual`].
    pub expect: Option<Statuses>,
}

/// How an operation is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedSo {
    /// Of which data type.
    pub data_type: DataTypeId,
    /// Which.
    pub operation: Operation,
    /// The method; `None`: the usual one of the operation.
    pub method: Option<Method>,
    /// Path and query, after the path of the base URL.
    pub path: Template,
    /// Fields beside those of every request; one of the same name stands instead.
    pub headers: Vec<(HeaderName, FieldValue)>,
    /// What is sent; `None`: a value with a put, else nothing.
    pub body: Option<Template>,
    /// The statuses that are no errors; `None`: as the service says.
    pub expect: Option<Statuses>,
}

/// Whom to trust where TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The file of the authorities that are trusted, in PEM; `None`: those that this machine trusts.
    pub ca: Option<PathBuf>,
    /// Whether certificates are looked at; if not, whoever answers is trusted.
    pub verify: bool,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            ca: None,
            verify: true,
        }
    }
}

impl ExternalService {
    /// Whether TLS is spoken at one of its URLs.
    pub fn speaks_tls(&self) -> bool {
        self.urls.iter().any(|url| url::is_https(url))
    }

    /// How an operation is asked: as written, or a put and an invalidation like the get of the same data
    /// type, since a resource has one place. `None` if nobody says it.
    pub fn asks(&self, data_type: DataTypeId, operation: Operation) -> Option<AskedSo> {
        let of = |wanted| {
            let mut all = self.operations.iter();
            all.find(|one| (one.data_type, one.operation) == (data_type, wanted))
        };
        if let Some(written) = of(operation) {
            return Some(written.clone());
        }
        let alike = matches!(operation, Operation::Put | Operation::Invalidate);
        let get = of(Operation::Get).filter(|_| alike)?;
        Some(AskedSo {
            operation,
            method: None,
            body: None,
            expect: None,
            ..get.clone()
        })
    }

    /// Whether `status` is no error for an operation that is asked so.
    pub fn expects(&self, asked: &AskedSo, status: StatusCode) -> bool {
        let status = status.as_u16();
        match asked.expect.as_ref().or(self.expect.as_ref()) {
            Some(statuses) => statuses.contain(status),
            None => Statuses::usual(asked.operation).contain(status),
        }
    }
}

/// Statuses of HTTP, as ranges with both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(pub Vec<(u16, u16)>);

impl Statuses {
    /// What is no error unless somebody says otherwise: success; that there was nothing to delete; that
    /// a limit refuses an arrival. A read that finds nothing is an error: most often the path is wrong.
    pub fn usual(operation: Operation) -> Self {
        let success = (200, 299);
        Self(match operation {
            Operation::Get | Operation::Put => vec![success],
            Operation::Invalidate | Operation::InvalidatePattern | Operation::InvalidateAll => {
                vec![success, (404, 404)]
            }
            Operation::Admit => vec![success, (429, 429)],
        })
    }

    /// Whether `status` is among them.
    pub fn contain(&self, status: u16) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(from, to)| (*from..=*to).contains(&status))
    }
}

impl fmt::Display for Statuses {
    /// As in `200..299, 404`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (from, to)) in self.0.iter().enumerate() {
            let before = if at > 0 { ", " } else { "" };
            if from == to {
                write!(f, "{before}{from}")?;
            } else {
                write!(f, "{before}{from}..{to}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(operation: Operation, path: &str) -> AskedSo {
        AskedSo {
            data_type: DataTypeId(0),
            operation,
            method: None,
            path: Template::parse(path, &[]).expect("a template"),
            headers: Vec::new(),
            body: None,
            expect: None,
        }
    }

    fn service(operations: Vec<AskedSo>) -> ExternalService {
        ExternalService {
            urls: Vec::new(),
            tls: Trust::default(),
            headers: Vec::new(),
            operations,
            outcome: Telling::Auto,
            expect: None,
        }
    }

    #[test]
    fn a_resource_is_written_and_deleted_where_it_is_read() {
        let service = service(vec![
            AskedSo {
                method: Some(Method::POST),
                ..asked(Operation::Get, "/a")
            },
            asked(Operation::Put, "/b"),
        ]);
        let path = |operation| {
            let asked = service.asks(DataTypeId(0), operation)?;
            Some((asked.path.source().to_owned(), asked.method))
        };
        assert_eq!(
            path(Operation::Get),
            Some(("/a".to_owned(), Some(Method::POST)))
        );
        assert_eq!(path(Operation::Put), Some(("/b".to_owned(), None)));
        assert_eq!(path(Operation::Invalidate), Some(("/a".to_owned(), None)));
        assert_eq!(path(Operation::InvalidateAll), None);
        assert_eq!(service.asks(DataTypeId(1), Operation::Get), None);
    }

    #[test]
    fn the_nearest_word_on_statuses_counts() {
        let mut service = service(vec![asked(Operation::Get, "/")]);
        let mut get = service.operations[0].clone();
        let expects = |service: &ExternalService, asked: &AskedSo| {
            [200, 299, 301, 404].map(|status| {
                service.expects(asked, StatusCode::from_u16(status).expect("a status"))
            })
        };
        assert_eq!(expects(&service, &get), [true, true, false, false]);
        service.expect = Some(Statuses(vec![(200, 200), (404, 404)]));
        assert_eq!(expects(&service, &get), [true, false, false, true]);
        get.expect = Some(Statuses(vec![(301, 302)]));
        assert_eq!(expects(&service, &get), [false, false, true, false]);
        let both = Statuses(vec![(200, 299), (404, 404)]);
        assert_eq!(both.to_string(), "200..299, 404");
    }
}
