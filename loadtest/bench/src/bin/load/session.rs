//! What a client remembers of its session, as a stock client does: the private id and the last offset.

/// Offsets are short; whatever is longer is the last argument of a server that sends none.
const OFFSET_MAX: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Session {
    pid: Option<String>,
    offset: Vec<u8>,
    recovered: bool,
}

impl Session {
    /// An event arrived: its last argument, a string, is the offset.
    #[inline]
    pub(crate) fn on_message(&mut self, packet: &[u8]) {
        let last = packet.strip_suffix(br#""]"#).and_then(|head| head.rsplit(|byte| *byte == b'"').next());
        if let (Some(_), Some(offset)) = (&self.pid, last)
            && offset.len() <= OFFSET_MAX
        {
            self.offset.clear();
            self.offset.extend_from_slice(offset);
        }
    }

    /// The answer to CONNECT arrived.
    pub(crate) fn on_connected(&mut self, packet: &[u8]) {
        let text = String::from_utf8_lossy(packet);
        let pid = text.split_once(r#""pid":""#).and_then(|(_, rest)| rest.split('"').next()).map(str::to_owned);
        self.recovered = pid.is_some() && pid == self.pid;
        self.pid = pid;
    }

    pub(crate) fn has_recovered(&self) -> bool {
        self.recovered
    }

    /// The fields of the CONNECT payload that ask for the session, each with a comma behind it.
    pub(crate) fn connect_fields(&self) -> String {
        let Some(pid) = &self.pid else {
            return String::new();
        };
        if self.offset.is_empty() {
            return format!(r#""pid":"{pid}","#);
        }
        format!(r#""pid":"{pid}","offset":"{}","#, String::from_utf8_lossy(&self.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_the_session_it_had() {
        let mut session = Session::default();
        session.on_message(br#"42["m","0000000001","no session yet"]"#);
        assert_eq!(session.connect_fields(), "");
        session.on_connected(br#"40{"sid":"s","pid":"p"}"#);
        assert!(!session.has_recovered());
        assert_eq!(session.connect_fields(), r#""pid":"p","#);
        session.on_message(br#"42["m","0000000001","xx","17-0"]"#);
        assert_eq!(session.connect_fields(), r#""pid":"p","offset":"17-0","#);
        session.on_connected(br#"40{"sid":"s","pid":"p"}"#);
        assert!(session.has_recovered());
        session.on_connected(br#"40{"sid":"s","pid":"q"}"#);
        assert!(!session.has_recovered());
    }
}
