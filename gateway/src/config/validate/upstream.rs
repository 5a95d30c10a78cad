//! Whether the backends make sense, and what namespaces want of them.

use std::{path::Path, time::Duration};

use super::Check;
use crate::config::{Namespace, Upstream};

const SIGNED: &str = "requests are signed with `secret`";

impl Check {
    pub(super) fn upstream(&mut self, upstream: &Upstream, namespaces: &[Namespace]) {
        for (at, time) in [
            ("timeout", upstream.timeout),
            ("connect_timeout", upstream.connect_timeout),
            ("open_for", upstream.open_for),
            ("notice_patience", upstream.notice_patience),
        ] {
            self.that(time > Duration::ZERO, &format!("upstream.{at}"), "must be more than 0s");
        }
        self.that(upstream.max_concurrent > 0, "upstream.max_concurrent", "must be more than 0");
        self.that(upstream.max_answer > 0, "upstream.max_answer", "must be more than 0");
        self.that(upstream.failures > 0, "upstream.failures", "must be more than 0");
        let at = |key: &str| format!("upstream.{key}");
        self.url(&upstream.url, &at("url"), SIGNED);
        self.secret(&upstream.secret.0, upstream.secret_file.as_deref(), &at("secret"));
        self.file(upstream.ca_file.as_deref(), &at("ca_file"));
        self.signed(upstream, &at("secret"));
        for (n, namespace) in namespaces.iter().enumerate() {
            self.of_namespace(upstream, namespace, &format!("namespaces.{n}"));
        }
    }

    fn of_namespace(&mut self, upstream: &Upstream, namespace: &Namespace, at: &str) {
        let own = &namespace.upstream;
        let settings = upstream.of_namespace(own);
        let key = |key: &str| format!("{at}.upstream.{key}");
        self.url(&own.url, &key("url"), SIGNED);
        self.secret(&own.secret.0, own.secret_file.as_deref(), &key("secret"));
        self.file(own.ca_file.as_deref(), &key("ca_file"));
        if !own.url.is_empty() {
            self.signed(&settings, &key("secret"));
        }
        for (name, told) in [("connect", own.connect), ("disconnect", own.disconnect)] {
            self.that(!told || settings.is_used(), &key(name), "needs `url` here or in `[upstream]`");
        }
        let lost = own.disconnect && !namespace.recovery;
        self.that(!lost, &key("disconnect"), "needs `recovery = true` in this namespace");
    }

    /// `instead`: what takes the place of a password in it.
    pub(super) fn url(&mut self, url: &str, at: &str, instead: &str) {
        if url.is_empty() {
            return;
        }
        let message = match url.parse::<http::Uri>() {
            Err(error) => format!("`{url}`: {error}"),
            Ok(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => {
                "must begin with `http://` or `https://`".to_owned()
            }
            // not shown: it may hold a password
            Ok(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
                format!("must not hold a user or password: {instead}")
            }
            Ok(_) => return,
        };
        self.that(false, at, message);
    }

    fn secret(&mut self, text: &str, file: Option<&Path>, at: &str) {
        let both = !text.is_empty() && file.is_some();
        self.that(!both, at, "`secret` and `secret_file` exclude each other");
        self.file(file, &format!("{at}_file"));
    }

    /// A backend must be able to tell this gateway from others.
    fn signed(&mut self, upstream: &Upstream, at: &str) {
        if !upstream.is_used() {
            return;
        }
        match upstream.read_secret() {
            Ok(secret) => self.that(!secret.is_empty(), at, "a `url` requires `secret` or `secret_file`, not empty"),
            // a file that is not there is reported as such
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.that(false, &format!("{at}_file"), error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Secret, validate::tests::check};

    fn with_backend(config: &mut Config) {
        config.upstream.url = "https://backend.example:8443/carillon?x=1".into();
        config.upstream.secret = Secret("s".into());
    }

    fn with_namespace(config: &mut Config, change: impl FnOnce(&mut crate::config::Namespace)) {
        let mut namespace = crate::config::Namespace::quiet("/");
        change(&mut namespace);
        config.namespaces = vec![namespace];
    }

    #[test]
    fn backends() {
        check(&[
            (with_backend, ""),
            (
                |c| c.upstream.url = "http://b".into(),
                "upstream.secret: a `url` requires `secret` or `secret_file`, not empty",
            ),
            (
                |c| {
                    with_backend(c);
                    c.upstream.url = "ftp://b".into();
                },
                "upstream.url: must begin with `http://` or `https://`",
            ),
            (
                |c| {
                    with_backend(c);
                    c.upstream.url = "/path".into();
                },
                "upstream.url: must begin with `http://` or `https://`",
            ),
            (
                |c| {
                    with_backend(c);
                    c.upstream.url = "http://a b/".into();
                },
                "upstream.url: `http://a b/`: invalid uri character",
            ),
            (
                |c| {
                    with_backend(c);
                    c.upstream.url = "http://app:pw@b/".into();
                },
                "upstream.url: must not hold a user or password: requests are signed with `secret`",
            ),
            (
                |c| {
                    with_backend(c);
                    c.upstream.secret = Secret::default();
                    c.upstream.secret_file = Some("/no/such".into());
                },
                "upstream.secret_file: no such file: /no/such",
            ),
            (
                |c| {
                    with_backend(c);
                    c.upstream.secret_file = Some("/dev/null".into());
                    c.upstream.secret_file = Some(std::env::current_exe().unwrap());
                },
                "upstream.secret: `secret` and `secret_file` exclude each other",
            ),
            (|c| c.upstream.ca_file = Some("/no/such".into()), "upstream.ca_file: no such file: /no/such"),
            (|c| c.upstream.timeout = Default::default(), "upstream.timeout: must be more than 0s"),
            (|c| c.upstream.connect_timeout = Default::default(), "upstream.connect_timeout: must be more than 0s"),
            (|c| c.upstream.open_for = Default::default(), "upstream.open_for: must be more than 0s"),
            (|c| c.upstream.notice_patience = Default::default(), "upstream.notice_patience: must be more than 0s"),
            (|c| c.upstream.max_concurrent = 0, "upstream.max_concurrent: must be more than 0"),
            (|c| c.upstream.max_waiting = 0, ""),
            (|c| c.upstream.max_answer = 0, "upstream.max_answer: must be more than 0"),
            (|c| c.upstream.failures = 0, "upstream.failures: must be more than 0"),
        ]);
    }

    #[test]
    fn backends_of_namespaces() {
        check(&[
            (
                |c| with_namespace(c, |n| n.upstream.url = "http://b".into()),
                "namespaces.0.upstream.secret: a `url` requires `secret` or `secret_file`, not empty",
            ),
            (
                |c| {
                    with_backend(c);
                    with_namespace(c, |n| n.upstream.url = "http://b".into());
                },
                "",
            ),
            (
                |c| {
                    with_backend(c);
                    with_namespace(c, |n| n.upstream.url = "b".into());
                },
                "namespaces.0.upstream.url: must begin with `http://` or `https://`",
            ),
            (
                |c| with_namespace(c, |n| n.upstream.connect = true),
                "namespaces.0.upstream.connect: needs `url` here or in `[upstream]`",
            ),
            (
                |c| {
                    with_backend(c);
                    with_namespace(c, |n| (n.upstream.connect, n.upstream.disconnect) = (true, true));
                },
                "",
            ),
            (
                |c| {
                    with_backend(c);
                    with_namespace(c, |n| (n.recovery, n.upstream.disconnect) = (false, true));
                },
                "namespaces.0.upstream.disconnect: needs `recovery = true` in this namespace",
            ),
        ]);
    }
}
