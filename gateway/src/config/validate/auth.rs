//! Whether what namespaces say of authentication makes sense.

use std::{collections::HashSet, fs::File, time::Duration};

use super::Check;
use crate::config::{Algorithm, Auth, AuthMethod, Config, KeyKind};

/// An unknown key has a JWKS read again no sooner than this; to do so regularly makes no sense.
const MIN_REFRESH: Duration = Duration::from_secs(10);

impl Check {
    pub(super) fn auth(&mut self, config: &Config) {
        for (n, namespace) in config.namespaces.iter().enumerate() {
            let (auth, at) = (&namespace.auth, format!("namespaces.{n}.auth"));
            match auth.method {
                AuthMethod::Jwt => self.jwt(auth, &at),
                AuthMethod::None | AuthMethod::Upstream => self.no_jwt(auth, &at),
            }
            if auth.method == AuthMethod::Upstream {
                let is_used = config.upstream.of_namespace(&namespace.upstream).is_used();
                let message = "\"upstream\" needs a backend: `url` in `[upstream]` or `[namespaces.upstream]`";
                self.that(is_used, &format!("{at}.method"), message);
            }
            if auth.method != AuthMethod::None {
                self.tokens(auth, &at);
            }
            self.auth_events(auth, &at);
        }
    }

    fn jwt(&mut self, auth: &Auth, at: &str) {
        let algorithms = &auth.algorithms;
        self.that(!algorithms.is_empty(), &format!("{at}.algorithms"), "\"jwt\" needs at least one algorithm");
        let distinct: HashSet<_> = algorithms.iter().collect();
        let twice = distinct.len() < algorithms.len();
        self.that(!twice, &format!("{at}.algorithms"), "an algorithm is named twice");
        self.key_source(auth, at);
        self.that(!auth.user.is_empty(), &format!("{at}.user"), "must not be empty");
        for (a, audience) in auth.audience.iter().enumerate() {
            self.that(!audience.is_empty(), &format!("{at}.audience.{a}"), "must not be empty");
        }
    }

    fn key_source(&mut self, auth: &Auth, at: &str) {
        let sources = auth.key_sources();
        let Some((source, further)) = sources.split_first() else {
            let message = "\"jwt\" needs `secret`, `secret_file`, `public_key_file`, `jwks_file` or `jwks_url`";
            return self.that(false, &format!("{at}.method"), message);
        };
        for other in further {
            self.that(false, &format!("{at}.{other}"), format!("excludes `{source}`: there is one source of keys"));
        }
        let with_secret = |algorithm: &&Algorithm| algorithm.key_kind() == KeyKind::Secret;
        let secret = auth.algorithms.iter().find(with_secret);
        let public = auth.algorithms.iter().find(|algorithm| !with_secret(algorithm));
        match (secret, public) {
            (Some(secret), Some(public)) => {
                let message = format!("`{secret}` takes a secret, `{public}` a public key: they exclude each other");
                self.that(false, &format!("{at}.algorithms"), message);
            }
            (Some(algorithm), None) if !source.starts_with("secret") => {
                let message = format!("`{algorithm}` takes a secret, not a public key");
                self.that(false, &format!("{at}.{source}"), message);
            }
            (None, Some(algorithm)) if source.starts_with("secret") => {
                let message = format!("`{algorithm}` takes a public key, not a secret");
                self.that(false, &format!("{at}.{source}"), message);
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => {}
        }
        if auth.public_key_file.is_some() && secret.is_none() {
            self.one_kind(&auth.algorithms, at);
        }
        let secret = &auth.secret.0;
        let blank = !secret.is_empty() && secret.trim().is_empty();
        self.that(!blank, &format!("{at}.secret"), "must not be blank");
        let is_pem = secret.trim_start().starts_with("-----BEGIN");
        self.that(!is_pem, &format!("{at}.secret"), "is a key in PEM, which belongs into `public_key_file`");
        self.key_files(auth, at);
        self.jwks(auth, at);
    }

    /// A file holds one key; a set may hold several kinds.
    fn one_kind(&mut self, algorithms: &[Algorithm], at: &str) {
        let [first, others @ ..] = algorithms else { return };
        let other = others.iter().find(|other| other.key_kind() != first.key_kind());
        if let Some(other) = other {
            let message = format!("`{first}` and `{other}` take different keys, and `public_key_file` holds one");
            self.that(false, &format!("{at}.algorithms"), message);
        }
    }

    fn key_files(&mut self, auth: &Auth, at: &str) {
        for (key, file) in [
            ("secret_file", &auth.secret_file),
            ("public_key_file", &auth.public_key_file),
            ("jwks_file", &auth.jwks_file),
        ] {
            let Some(file) = file else { continue };
            let at = format!("{at}.{key}");
            self.file(Some(file), &at);
            if file.is_file()
                && let Err(error) = File::open(file)
            {
                self.that(false, &at, format!("cannot read {}: {error}", file.display()));
            }
        }
    }

    fn jwks(&mut self, auth: &Auth, at: &str) {
        self.that(auth.jwks_refresh >= MIN_REFRESH, &format!("{at}.jwks_refresh"), "must be at least 10s");
        if auth.jwks_url.is_empty() {
            return;
        }
        let uri = auth.jwks_url.parse::<http::Uri>().ok();
        let is_http = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        });
        // not shown, for it may hold a password
        self.that(is_http, &format!("{at}.jwks_url"), "must be a URL that begins with `https://` or `http://`");
    }

    fn no_jwt(&mut self, auth: &Auth, at: &str) {
        let asked = [
            ("algorithms", !auth.algorithms.is_empty()),
            ("issuer", !auth.issuer.is_empty()),
            ("audience", !auth.audience.is_empty()),
        ];
        let asked = asked.into_iter().filter_map(|(key, is_given)| is_given.then_some(key));
        for key in auth.key_sources().into_iter().chain(asked) {
            self.that(false, &format!("{at}.{key}"), "has no meaning without `method = \"jwt\"`");
        }
    }

    fn tokens(&mut self, auth: &Auth, at: &str) {
        let distinct: HashSet<_> = auth.token.iter().collect();
        self.that(!distinct.is_empty(), &format!("{at}.token"), "at least one place is required");
        let twice = distinct.len() < auth.token.len();
        self.that(!twice, &format!("{at}.token"), "a place is named twice");
        self.that(auth.max_token > 0, &format!("{at}.max_token"), "must be more than 0");
    }

    fn auth_events(&mut self, auth: &Auth, at: &str) {
        for (key, event) in [
            ("failure_event", &auth.failure_event),
            ("warn_event", &auth.warn_event),
            ("expired_event", &auth.expired_event),
            ("refresh_event", &auth.refresh_event),
            ("revoked_event", &auth.revoked_event),
        ] {
            if !event.is_empty() {
                self.event(event, &format!("{at}.{key}"));
            }
        }
        let silent = auth.warn_before > Duration::ZERO && auth.warn_event.is_empty();
        self.that(!silent, &format!("{at}.warn_event"), "must not be empty when `warn_before` is more than 0s");
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
