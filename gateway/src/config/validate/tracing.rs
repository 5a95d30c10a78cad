//! Whether spans can be told to somebody.

use super::Check;
use crate::config::Tracing;

impl Check {
    pub(super) fn tracing(&mut self, tracing: &Tracing) {
        self.url(&tracing.endpoint, "tracing.endpoint", "headers belong in `headers_file`");
        self.that((0.0..=1.0).contains(&tracing.sample), "tracing.sample", "must be from 0 to 1");
        self.that(!tracing.service_name.trim().is_empty(), "tracing.service_name", "must not be empty");
        self.file(tracing.ca_file.as_deref(), "tracing.ca_file");
        if let Err(error) = tracing.headers() {
            self.that(false, "tracing.headers_file", error);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::validate::tests::check;

    #[test]
    fn tracing() {
        check(&[
            (|c| c.tracing.endpoint = "https://collector.example:4318".into(), ""),
            (
                |c| c.tracing.endpoint = "collector:4318".into(),
                "tracing.endpoint: must begin with `http://` or `https://`",
            ),
            (
                |c| c.tracing.endpoint = "grpc://c:4317".into(),
                "tracing.endpoint: must begin with `http://` or `https://`",
            ),
            (|c| c.tracing.endpoint = "http://a b/".into(), "tracing.endpoint: `http://a b/`: invalid uri character"),
            (
                |c| c.tracing.endpoint = "http://me:secret@c/".into(),
                "tracing.endpoint: must not hold a user or password: headers belong in `headers_file`",
            ),
            (|c| c.tracing.sample = 0.0, ""),
            (|c| c.tracing.sample = 1.0, ""),
            (|c| c.tracing.sample = 1.01, "tracing.sample: must be from 0 to 1"),
            (|c| c.tracing.sample = -0.01, "tracing.sample: must be from 0 to 1"),
            (|c| c.tracing.sample = f64::NAN, "tracing.sample: must be from 0 to 1"),
            (|c| c.tracing.service_name = " ".into(), "tracing.service_name: must not be empty"),
            (|c| c.tracing.ca_file = Some("/no/such".into()), "tracing.ca_file: no such file: /no/such"),
            (
                |c| c.tracing.headers_file = Some("/no/such".into()),
                "tracing.headers_file: /no/such: No such file or directory (os error 2)",
            ),
        ]);
    }
}
