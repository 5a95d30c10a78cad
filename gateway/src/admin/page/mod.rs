//! `GET /admin/`: the page, one document with its style and script inside.

use axum::body::{Body, Bytes};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const DOCUMENT: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page, and the policy under which browsers run it.
#[derive(Clone)]
pub(super) struct Page {
    text: Bytes,
    policy: HeaderValue,
}

impl Page {
    pub(super) fn new() -> Self {
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            hash(SCRIPT),
            hash(STYLE),
        );
        let text = DOCUMENT
            .replace("<style></style>", &format!("<style>{STYLE}</style>"))
            .replace("<script></script>", &format!("<script>{SCRIPT}</script>"));
        Page { text: text.into(), policy: policy.try_into().expect("base64 and keywords fit into a header") }
    }

    pub(super) fn answer(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.text.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        for (name, value) in [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CACHE_CONTROL, "no-cache"),
            (REFERRER_POLICY, "no-referrer"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// By which the policy allows the content of an element.
fn hash(content: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_nothing_that_its_policy_forbids() {
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
            assert!(!SCRIPT.contains(forbidden), "{forbidden}");
        }
        for forbidden in [" style=", " onclick=", "javascript:", "http://", "https://", " src="] {
            assert!(!DOCUMENT.contains(forbidden), "{forbidden}");
        }
        let text = String::from_utf8(Page::new().text.to_vec()).unwrap();
        for (element, content) in [("style", STYLE), ("script", SCRIPT)] {
            assert_eq!(text.matches(&format!("<{element}")).count(), 1, "one {element}");
            assert!(text.contains(&format!("<{element}>{content}</{element}>")), "{element}");
        }
    }
}
