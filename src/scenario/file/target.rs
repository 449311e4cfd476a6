//! A service that is not ours, as written under `target`:
//!
//! ```yaml
//! target:                            # drives this service; nothing built-in is started
//!   url: http://127.0.0.1:8080       # or https://…, or a list of them
//!   tls: { ca: shop-ca.pem, verify: true }  # whom to trust; this machine's authorities if left out
//!   headers:                         # of every request; none if left out
//!     accept: application/json
//!     authorization: { env: SHOP_TOKEN, prefix: "Bearer " }  # from the environment
//!   operations:                      # how each is asked; put and invalidate as the get of the same
//!     product.get: { path: "/products/{product_id}" }  # data type, if left out
//!     product.put:
//!       method: PUT                  # GET, PUT, DELETE or POST by the operation, if left out
//!       path: "/products/{product_id}"                 # also {user}, {sequence}, {value} and {key}
//!       headers: { content-type: application/json }
//!       body: "{value}"              # which it is for a put, if left out
//!       expect: [200..299]           # as below, of this operation alone
//!   outcome: auto                    # the default; or cache-status, x-cache, age, none, or a field of
//!                                    # your own: { header: x-mine, hit: [warm], miss: [cold] }
//!   expect: [200..299, 404]          # statuses that are no errors; by operation if left out
//! ```

use std::sync::Arc;

use http::Method;

use super::super::decode::{Decode, Field, Fields, List, Located, Map, keyword, located, text};
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::yaml::{Kind, Node, short};
use crate::environment::external::Statuses;

/// The section.
pub(in crate::scenario) struct TargetFile {
    pub(in crate::scenario) url: Field<OneOrMore<Arc<str>>>,
    pub(in crate::scenario) tls: Field<TlsFile>,
    pub(in crate::scenario) headers: Field<Map<HeaderFile>>,
    pub(in crate::scenario) operations: Field<Map<AskedFile>>,
    pub(in crate::scenario) outcome: Field<TellingFile>,
    pub(in crate::scenario) expect: Field<OneOrMore<StatusRange>>,
}

impl Decode for TargetFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the target", errors)?;
        let target = Self {
            url: fields.required("url", "http://127.0.0.1:8080"),
            tls: fields.optional("tls"),
            headers: fields.optional("headers"),
            operations: fields.required(
                "operations",
                "{ product.get: { path: \"/products/{product_id}\" } }",
            ),
            outcome: fields.optional("outcome"),
            expect: fields.optional("expect"),
        };
        fields.close();
        Some(target)
    }
}

/// Whom to trust.
pub(in crate::scenario) struct TlsFile {
    pub(in crate::scenario) ca: Field<Arc<str>>,
    pub(in crate::scenario) verify: Field<bool>,
}

impl Decode for TlsFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "the TLS of the target", errors)?;
        let tls = Self {
            ca: fields.optional("ca"),
            verify: fields.optional("verify"),
        };
        fields.close();
        Some(tls)
    }
}

/// The value of a header field.
pub(in crate::scenario) enum HeaderFile {
    Written(Arc<str>),
    FromEnvironment {
        env: Field<Arc<str>>,
        prefix: Field<Arc<str>>,
    },
}

impl Decode for HeaderFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        if let Kind::Mapping(_) = node.kind {
            let mut fields = Fields::of(node, "a header field", errors)?;
            let from = Self::FromEnvironment {
                env: fields.required("env", "SHOP_TOKEN"),
                prefix: fields.optional("prefix"),
            };
            fields.close();
            return Some(from);
        }
        Arc::decode(node, errors).map(Self::Written)
    }
}

/// How an operation is asked.
pub(in crate::scenario) struct AskedFile {
    pub(in crate::scenario) method: Field<MethodFile>,
    pub(in crate::scenario) path: Field<Arc<str>>,
    pub(in crate::scenario) headers: Field<Map<HeaderFile>>,
    pub(in crate::scenario) body: Field<Arc<str>>,
    pub(in crate::scenario) expect: Field<OneOrMore<StatusRange>>,
}

impl Decode for AskedFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "an operation of the target", errors)?;
        let asked = Self {
            method: fields.optional("method"),
            path: fields.required("path", "\"/products/{product_id}\""),
            headers: fields.optional("headers"),
            body: fields.optional("body"),
            expect: fields.optional("expect"),
        };
        fields.close();
        Some(asked)
    }
}

/// A method.
pub(in crate::scenario) struct MethodFile(pub(in crate::scenario) Method);

/// Those that make sense here.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

impl Decode for MethodFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let words = METHODS.map(|method| (method, method));
        let method = keyword(node, "method", &words, errors)?;
        Method::from_bytes(method.as_bytes()).ok().map(Self)
    }
}

/// A value, or a list of them; those that are wrong are `None`.
pub(in crate::scenario) struct OneOrMore<T>(pub(in crate::scenario) List<T>);

impl<T: Decode> Decode for OneOrMore<T> {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        match node.kind {
            Kind::Sequence(_) => List::decode(node, errors).map(Self),
            _ => Some(Self(vec![located(node, errors)])),
        }
    }
}

impl<T> OneOrMore<T> {
    /// All of them, if none is wrong.
    pub(in crate::scenario) fn all(&self) -> Option<Vec<&Located<T>>> {
        self.0.iter().map(Option::as_ref).collect()
    }
}

/// A range of statuses, or one.
#[derive(Clone, Copy)]
pub(in crate::scenario) struct StatusRange(pub(in crate::scenario) (u16, u16));

impl Decode for StatusRange {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let found = text(node, "a status or a range of statuses", errors)?;
        let (from, to) = found.split_once("..").unwrap_or((found, found));
        let number = |text: &str| text.trim().parse::<u16>().ok();
        let status = |number: &u16| (100..=599).contains(number);
        let range = number(from).filter(status).zip(number(to).filter(status));
        if let Some((from, to)) = range.filter(|(from, to)| from <= to) {
            return Some(Self((from, to)));
        }
        let message = format!("{:?} is neither a status nor a range of them", short(found));
        let advice = "write it as 404 or as 200..299, from 100 up to 599";
        errors.push(Diagnostic::new(&node.place, message).label(advice));
        None
    }
}

/// The statuses of a list.
pub(in crate::scenario) fn statuses(list: &OneOrMore<StatusRange>) -> Option<Statuses> {
    let ranges = list.all()?;
    Some(Statuses(ranges.iter().map(|range| range.value.0).collect()))
}

/// Where the service says what its cache did.
pub(in crate::scenario) enum TellingFile {
    Auto,
    CacheStatus,
    XCache,
    Age,
    None,
    Own(OwnFile),
}

/// A field of one's own.
pub(in crate::scenario) struct OwnFile {
    pub(in crate::scenario) header: Field<Arc<str>>,
    pub(in crate::scenario) hit: Field<OneOrMore<Arc<str>>>,
    pub(in crate::scenario) miss: Field<OneOrMore<Arc<str>>>,
}

impl Decode for TellingFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        if let Kind::Mapping(_) = node.kind {
            let mut fields = Fields::of(node, "an outcome", errors)?;
            let own = OwnFile {
                header: fields.required("header", "x-my-cache"),
                hit: fields.required("hit", "[HIT]"),
                miss: fields.required("miss", "[MISS]"),
            };
            fields.close();
            return Some(Self::Own(own));
        }
        let words = [
            ("auto", 0),
            ("cache-status", 1),
            ("x-cache", 2),
            ("age", 3),
            ("none", 4),
        ];
        Some(match keyword(node, "outcome", &words, errors)? {
            0 => Self::Auto,
            1 => Self::CacheStatus,
            2 => Self::XCache,
            3 => Self::Age,
            _ => Self::None,
        })
    }
}
