//! What is allowed, and seldom meant.

use super::{AllowedOrigin, AuthMethod, Config, TokenSource};

impl Config {
    /// One line each, with the path of its key.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.open_cookies().into_iter().chain(self.hasty_drain()).collect()
    }

    /// A drain that sends clients away faster than they are let in elsewhere.
    fn hasty_drain(&self) -> Option<String> {
        let (budget, most) = (self.cluster.handshakes_per_second, self.limits.max_connections);
        let spread = self.drain.spread.as_secs_f64();
        let needed = most as f64 / f64::from(budget.max(1));
        (budget > 0 && spread < needed).then(|| {
            format!(
                "drain.spread: {most} connections (`limits.max_connections`) in {spread} s are more than \
                 `cluster.handshakes_per_second` lets in: clients are refused first and come again later; {} s would do",
                needed.ceil()
            )
        })
    }

    /// Cookies as tokens, for pages of any origin.
    fn open_cookies(&self) -> Vec<String> {
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

    #[test]
    fn a_drain_faster_than_the_budget_is_warned_of() {
        let mut config = Config::default();
        config.limits.max_connections = 10_000;
        config.cluster.handshakes_per_second = 1000;
        let [warning] = &config.warnings()[..] else { panic!("{:?}", config.warnings()) };
        assert!(warning.starts_with("drain.spread: 10000 connections") && warning.ends_with("; 10 s would do"));
        config.drain.spread = std::time::Duration::from_secs(10);
        assert!(config.warnings().is_empty());
    }
}
