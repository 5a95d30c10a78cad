//! `public.path`: where Engine.IO is served.

/// The path of the configuration; segments in braces take any one segment of
/// letters, digits and `-._~`, which templates know as `{path.NAME}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnginePath(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(Box<str>),
    Named(Box<str>),
}

impl EnginePath {
    /// Of a path that begins and ends with `/`.
    #[must_use]
    pub fn parse(path: &str) -> Self {
        let segment = |text: &str| match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(name) => Segment::Named(name.into()),
            None => Segment::Text(text.into()),
        };
        EnginePath(path.split('/').filter(|text| !text.is_empty()).map(segment).collect())
    }

    /// What follows the path in that of a request, without the slash between
    /// them: nothing for Engine.IO itself. `None` when it is another path.
    pub(super) fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let mut rest = path;
        for segment in &self.0 {
            let (found, after) = first(rest)?;
            match segment {
                Segment::Text(text) if **text != *found => return None,
                Segment::Named(_) if !is_value(found) => return None,
                Segment::Text(_) | Segment::Named(_) => rest = after,
            }
        }
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }

    /// The named segments of a request's path.
    pub(super) fn values(&self, path: &str) -> Vec<(Box<str>, Box<str>)> {
        let found = path.split('/').skip(1);
        let named = self.0.iter().zip(found).filter_map(|(segment, found)| match segment {
            Segment::Named(name) => Some((name.clone(), found.into())),
            Segment::Text(_) => None,
        });
        named.collect()
    }

    /// Whether it names any.
    pub(super) fn has_values(&self) -> bool {
        self.0.iter().any(|segment| matches!(segment, Segment::Named(_)))
    }
}

/// The first segment, and what follows it from its slash on.
fn first(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('/')?;
    Some(path.split_at(path.find('/').unwrap_or(path.len())))
}

fn is_value(segment: &str) -> bool {
    // `.` and `..` are no names on the way here
    segment.bytes().any(|byte| byte != b'.')
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        for (configured, asked, rest) in [
            ("/socket.io/", "/socket.io/", Some("")),
            ("/socket.io/", "/socket.io", Some("")),
            ("/socket.io/", "/socket.io/socket.io.js", Some("socket.io.js")),
            ("/socket.io/", "/socket.iox/", None),
            ("/socket.io/", "/", None),
            ("/socket.io/", "socket.io/", None),
            ("/", "/", Some("")),
            ("/", "/x", Some("x")),
            ("/rt/{tenant}/io/", "/rt/blue/io/", Some("")),
            ("/rt/{tenant}/io/", "/rt/blue/io/socket.io.js", Some("socket.io.js")),
            ("/rt/{tenant}/io/", "/rt//io/", None),
            ("/rt/{tenant}/io/", "/rt/a%3Ab/io/", None),
            ("/rt/{tenant}/io/", "/rt/a:b/io/", None),
            ("/rt/{tenant}/io/", "/rt/../io/", None),
            ("/rt/{tenant}/io/", "/rt/blue/red/io/", None),
            ("/rt/{tenant}/io/", "/rt/blue", None),
        ] {
            assert_eq!(EnginePath::parse(configured).rest(asked), rest, "{configured} {asked}");
        }
    }

    #[test]
    fn segments_have_values() {
        let path = EnginePath::parse("/rt/{tenant}/{x}/");
        assert!(path.has_values() && !EnginePath::parse("/rt/").has_values());
        assert_eq!(path.values("/rt/blue/7/"), [("tenant".into(), "blue".into()), ("x".into(), "7".into())]);
    }
}
