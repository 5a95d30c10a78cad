//! Where a client's token is looked for.

use std::borrow::Cow;

use serde_json::Value;

use crate::config::TokenSource;

/// The places where a token is looked for, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSources(Box<[TokenSource]>);

/// What a client presented that may hold a token.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The payload of CONNECT.
    pub auth: &'a Value,
    /// The query of the handshake: percent-encoded, without `?`.
    pub query: &'a str,
    /// The bearer token of the handshake.
    pub header: Option<&'a str>,
    /// Names and values of the handshake's cookies, at least of those that are needed.
    pub cookies: &'a [(Box<str>, Box<str>)],
}

/// What of a handshake is to be kept until CONNECT; the query is anyway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandshakeNeeds {
    /// Whether the bearer token is.
    pub authorization: bool,
    /// Names of the cookies.
    pub cookies: Vec<Box<str>>,
}

impl TokenSources {
    /// Those of the configuration.
    #[must_use]
    pub fn new(sources: &[TokenSource]) -> Self {
        Self(sources.into())
    }

    /// What has to be kept of a handshake.
    #[must_use]
    pub fn needs_handshake(&self) -> HandshakeNeeds {
        let mut needs = HandshakeNeeds::default();
        for source in &self.0 {
            match source {
                TokenSource::Header => needs.authorization = true,
                TokenSource::Cookie(name) => needs.cookies.push(name.as_str().into()),
                TokenSource::Auth(_) | TokenSource::Query(_) => {}
            }
        }
        needs
    }

    /// The token: the first that is a text and not empty.
    #[must_use]
    pub fn find<'a>(&self, presented: &Presented<'a>) -> Option<Cow<'a, str>> {
        self.0.iter().find_map(|source| look(source, presented).filter(|token| !token.is_empty()))
    }
}

fn look<'a>(source: &TokenSource, presented: &Presented<'a>) -> Option<Cow<'a, str>> {
    match source {
        TokenSource::Auth(path) => {
            let field = path.iter().try_fold(presented.auth, |value, step| value.as_object()?.get(step));
            field?.as_str().map(Cow::Borrowed)
        }
        TokenSource::Query(name) => {
            let mut parameters = form_urlencoded::parse(presented.query.as_bytes());
            parameters.find_map(|(found, value)| (found == name.as_str() && !value.is_empty()).then_some(value))
        }
        TokenSource::Header => presented.header.map(Cow::Borrowed),
        TokenSource::Cookie(name) => {
            presented.cookies.iter().find(|(found, _)| **found == **name).map(|(_, value)| Cow::Borrowed(&**value))
        }
    }
}

impl HandshakeNeeds {
    /// What both need: namespaces share a handshake.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.authorization |= other.authorization;
        for name in other.cookies {
            if !self.cookies.contains(&name) {
                self.cookies.push(name);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sources(list: &[&str]) -> TokenSources {
        TokenSources::new(&list.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn each_place_and_their_order() {
        let auth = json!({ "token": "a", "user": { "token": "deep", "id": 7 }, "empty": "", "list": ["x"] });
        let cookies = [("token", "c"), ("none", ""), ("token", "second")].map(|(n, v)| (n.into(), v.into()));
        let presented = Presented {
            auth: &auth,
            query: "token=q%2F1&empty=&two=&two=2&p=a+b",
            header: Some("h"),
            cookies: &cookies,
        };
        let nothing = Presented { auth: &Value::Null, query: "", header: None, cookies: &[] };
        for (list, token) in [
            (&["auth.token"][..], Some("a")),
            (&["auth.user.token"], Some("deep")),
            (&["auth.user.id"], None),
            (&["auth.user"], None),
            (&["auth.list.0"], None),
            (&["auth.token.more"], None),
            (&["auth.absent"], None),
            (&["query.token"], Some("q/1")),
            (&["query.two"], Some("2")),
            (&["query.p"], Some("a b")),
            (&["query.empty"], None),
            (&["header"], Some("h")),
            (&["cookie.token"], Some("c")),
            (&["cookie.none"], None),
            (&["cookie.Token"], None),
            (&["auth.empty", "query.empty", "cookie.none", "header"], Some("h")),
            (&["cookie.token", "auth.token"], Some("c")),
            (&["query.token", "header", "cookie.token"], Some("q/1")),
            (&[], None),
        ] {
            assert_eq!(sources(list).find(&presented).as_deref(), token, "{list:?}");
            assert_eq!(sources(list).find(&nothing), None, "{list:?}");
        }
    }

    #[test]
    fn needs_of_namespaces_add_up() {
        let one = sources(&["auth.token", "cookie.a", "cookie.b"]).needs_handshake();
        assert_eq!(one, HandshakeNeeds { authorization: false, cookies: vec!["a".into(), "b".into()] });
        let both = one.and(sources(&["header", "cookie.b", "cookie.c"]).needs_handshake());
        assert_eq!(both, HandshakeNeeds { authorization: true, cookies: vec!["a".into(), "b".into(), "c".into()] });
        assert_eq!(sources(&["query.token"]).needs_handshake(), HandshakeNeeds::default());
    }
}
