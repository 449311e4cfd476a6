//! The base URL of a service: `http://host[:port][/path]` or the same with `https`, and nothing else.
//!
//! Read by the scenario, which refuses what cannot be sent to, and by the HTTP caller. Connects nothing.

use http::Uri;
use http::uri::Scheme;

/// `url` as the base of requests.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn base_url(url: &str) -> Result<Uri, String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("it is no URL ({error})"))?;
    match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {}
        _ => return Err("it must begin with http:// or https://".to_owned()),
    }
    let Some(authority) = uri.authority() else {
        return Err("it has no host".to_owned());
    };
    if authority.as_str().contains('@') {
        return Err("it must not hold a user name or a password".to_owned());
    }
    if uri.query().is_some() {
        return Err("it must not have a query".to_owned());
    }
    Ok(uri)
}

/// Whether TLS is spoken at `url`.
pub fn is_https(url: &str) -> bool {
    base_url(url).is_ok_and(|uri| uri.scheme() == Some(&Scheme::HTTPS))
}
