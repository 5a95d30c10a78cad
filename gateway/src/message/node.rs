//! The short name of a node, as session ids carry it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::room::ALPHABET;

/// Three characters of the URL-safe alphabet (18 bits): which node of a
/// deployment. It says nothing of where the node is; a registry knows that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeTag([u8; NodeTag::LEN]);

impl NodeTag {
    pub const LEN: usize = 3;

    /// A tag to claim; another node may have it.
    pub fn random() -> Self {
        let bits: [u8; Self::LEN] = rand::random();
        NodeTag(bits.map(|b| ALPHABET[usize::from(b & 63)]))
    }

    /// `None` unless `text` is 3 characters of the alphabet.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|b| ALPHABET.contains(b)).then_some(NodeTag(bytes))
    }

    /// The caller has them from a token or a tag.
    pub(super) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        NodeTag(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for NodeTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_read_back() {
        for _ in 0..100 {
            let tag = NodeTag::random();
            assert_eq!(NodeTag::parse(tag.as_str()), Some(tag));
        }
        for wrong in ["", "ab", "abcd", "a b", "a\"b", "é1"] {
            assert_eq!(NodeTag::parse(wrong), None, "{wrong}");
        }
    }
}
