//! `[tracing]`: what is traced, and who is told.

use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units;

/// Spans of publishes, of their fan-out on each node, and of what clients do; sent to an OpenTelemetry receiver. Without
/// `endpoint` there are none. See docs/tracing.md.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tracing {
    /// URL of the receiver, which takes OTLP over HTTP as protobuf, such as `"http://collector:4318"`; without a path it is
    /// `/v1/traces`. `""` for none. Default: `""`.
    pub endpoint: String,
    /// Part that is traced of what brings no `traceparent`: from `0` (nothing) to `1` (all). Default: `0.01`.
    pub sample: f64,
    /// Whether a publish is traced if its `traceparent` says so, and only then; otherwise `sample` decides of it too.
    /// Default: `true`.
    pub follow_callers: bool,
    /// `service.name` of the spans. Default: `"carillon"`.
    pub service_name: String,
    /// File with headers of each request to the receiver, such as `authorization: Bearer …`, one a line; `""` for none.
    /// Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub headers_file: Option<PathBuf>,
    /// File with the certificate authorities (PEM) of an `https://` receiver; `""` trusts those of the system.
    /// Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub ca_file: Option<PathBuf>,
}

impl Tracing {
    /// Whether anything is traced.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.endpoint.is_empty()
    }

    /// Where spans are posted.
    #[must_use]
    pub fn url(&self) -> String {
        let path = self.endpoint.parse::<http::Uri>().map(|uri| uri.path().to_owned()).unwrap_or_default();
        match path.as_str() {
            "" | "/" => format!("{}/v1/traces", self.endpoint.trim_end_matches('/')),
            _ => self.endpoint.clone(),
        }
    }

    /// The headers of the file, if there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or a line is none; the message does not hold the line.
    pub fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        self.headers_file.as_deref().map_or(Ok(Vec::new()), read_headers)
    }
}

fn read_headers(file: &Path) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(n, line)| header(line).ok_or_else(|| format!("{}: line {} is not `name: value`", file.display(), n + 1)))
        .collect()
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            sample: 0.01,
            follow_callers: true,
            service_name: "carillon".to_owned(),
            headers_file: None,
            ca_file: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_standard_is_taken_where_there_is_none() {
        for (endpoint, url) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("https://collector.example/", "https://collector.example/v1/traces"),
            ("https://collector.example/otlp/traces", "https://collector.example/otlp/traces"),
            ("https://collector.example/otlp/", "https://collector.example/otlp/"),
        ] {
            let tracing = Tracing { endpoint: endpoint.to_owned(), ..Tracing::default() };
            assert_eq!(tracing.url(), url);
        }
    }

    #[test]
    fn headers_are_one_a_line() {
        let file = std::env::temp_dir().join(format!("carillon-headers-{}", std::process::id()));
        let tracing = Tracing { headers_file: Some(file.clone()), ..Tracing::default() };
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let headers = tracing.headers().map_err(|error| error.replace(&*file.to_string_lossy(), "FILE"))?;
            Ok::<_, String>(headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect())
        };
        assert_eq!(read(""), Ok(vec![]));
        let two = vec!["authorization=Bearer a:b".to_owned(), "x-tenant=7".to_owned()];
        assert_eq!(read("Authorization: Bearer a:b\n\nx-tenant:7\r\n"), Ok(two));
        for (text, line) in [("no header", 1), ("a: 1\n: 2", 2), ("a b: 1", 1), ("a: \u{7}", 1)] {
            assert_eq!(read(text), Err(format!("FILE: line {line} is not `name: value`")));
        }
        std::fs::remove_file(&file).unwrap();
        assert!(tracing.headers().is_err());
        assert_eq!(Tracing::default().headers(), Ok(vec![]));
    }
}
