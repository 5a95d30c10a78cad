//! What requests of old clients ask otherwise: paths of Socket.IO 0.9 that some
//! still use, and answers that a page may read with its cookies.

use crate::config::Legacy;

use super::request::Parameters;

/// What a path below that of Engine.IO asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// The protocol.
    Engine,
    /// The goodbye of a session.
    Farewell { sid: String },
}

impl Asked {
    /// `rest`: what follows the path of Engine.IO. `None` for anything else.
    pub(super) fn by(legacy: &Legacy, rest: &str, query: &str) -> Option<Self> {
        match rest {
            "" => return Some(Asked::Engine),
            _ if !legacy.enabled => return None,
            "1" | "1/" | "1/websocket" | "1/websocket/" => return Some(Asked::Engine),
            _ => {}
        }
        let sid = rest.strip_prefix("1/xhr-polling/")?.trim_end_matches('/');
        let goes = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "disconnect");
        goes.then(|| Asked::Farewell { sid: sid.to_owned() })
    }
}

/// Whose pages may read an answer, where any may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Those that send no cookies.
    Anybody,
    /// The one that asks: old clients always ask with cookies, and read nothing
    /// that is not for their origin by name.
    Asker,
}

impl Readers {
    pub(super) fn of(legacy: &Legacy, query: &str) -> Self {
        if legacy.enabled && Parameters::parse(query).are_legacy() { Readers::Asker } else { Readers::Anybody }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_old_clients_are_served_where_these_are() {
        let farewell = |sid: &str| Some(Asked::Farewell { sid: sid.into() });
        for (rest, query, expected) in [
            ("", "EIO=2", Some(Asked::Engine)),
            ("1/", "EIO=2", Some(Asked::Engine)),
            ("1", "EIO=2", Some(Asked::Engine)),
            ("1/websocket/", "EIO=2", Some(Asked::Engine)),
            ("1/xhr-polling/abc", "disconnect", farewell("abc")),
            ("1/xhr-polling/abc/", "t=1&disconnect=", farewell("abc")),
            ("1/xhr-polling/abc", "", None),
            ("1/xhr-polling", "disconnect", None),
            ("socket.io.js", "", None),
        ] {
            let on = Legacy { enabled: true, ..Legacy::default() };
            assert_eq!(Asked::by(&on, rest, query), expected, "{rest}");
            let off = Asked::by(&Legacy::default(), rest, query);
            assert_eq!(off, rest.is_empty().then_some(Asked::Engine), "{rest}");
        }
    }

    #[test]
    fn old_clients_read_with_cookies() {
        let on = Legacy { enabled: true, ..Legacy::default() };
        assert_eq!(Readers::of(&on, "EIO=3&x=1"), Readers::Asker);
        assert_eq!(Readers::of(&on, "EIO=4"), Readers::Anybody);
        assert_eq!(Readers::of(&Legacy::default(), "EIO=3"), Readers::Anybody);
    }
}
