//! What is kept of the request that opened a connection.

/// What a client showed when it opened the connection, as far as some
/// namespace asks for it when it is entered.
#[derive(Debug, Default)]
pub struct Handshake {
    /// The token of the `Authorization` header.
    pub bearer: Option<Box<str>>,
    pub cookies: Vec<(Box<str>, Box<str>)>,
    /// Segments of the path, by the names that `public.path` gives them.
    pub path: Vec<(Box<str>, Box<str>)>,
}

impl Handshake {
    /// Nothing.
    pub(super) const NONE: &'static Handshake = &Handshake { bearer: None, cookies: Vec::new(), path: Vec::new() };
}
