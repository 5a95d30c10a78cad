//! What is allowed, and seldom meant.

use super::{AllowedOrigin, AuthMethod, Config, TokenSource};

impl Config {
    /// One line each, with the path of its key.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let any_origin = self.public.allowed_origins.contains(&AllowedOrigin::Any);
        let by_cookie = |source: &TokenSource| matches!(source, TokenSource::Cookie(_));
        let open = self.namespaces.iter().enumerate().filter(|(_, namespace)| {
            any_origin && namespace.auth.method != AuthMethod::None && namespace.auth.token.iter().any(by_cookie)
        });
        let warning = |n| {
            format!(
                "namespaces[{n}].auth.token takes a cookie, which browsers also send for pages of other sites: \
                 name the origins in `public.allowed_origins`"
            )
        };
        open.map(|(n, _)| warning(n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auth, Namespace};

    #[test]
    fn cookies_of_other_sites_are_warned_of() {
        let token = vec![TokenSource::Header, TokenSource::Cookie("auth".to_owned())];
        let auth = Auth { method: AuthMethod::Jwt, token, ..Auth::default() };
        let mut config = Config { namespaces: vec![Namespace { auth, ..Namespace::quiet("/") }], ..Config::default() };
        assert_eq!(config.warnings().len(), 1);
        config.public.allowed_origins = vec![AllowedOrigin::Exact("https://app.example.com".to_owned())];
        assert!(config.warnings().is_empty());
        assert!(Config::default().warnings().is_empty());
    }
}
