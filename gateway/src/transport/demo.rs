//! The demo page.

use bytes::Bytes;
use http::StatusCode;

use super::answer::{Answer, answer};

const PAGE: &str = include_str!("demo.html");

/// The page; the client's script is expected below `path`.
pub(super) fn page(path: &str) -> Answer {
    let page = PAGE.replace("{{path}}", path);
    answer(StatusCode::OK, "text/html; charset=utf-8", Bytes::from(page))
}
