//! Who a client is.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A moment in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// By the system's clock.
    #[must_use]
    pub fn now() -> Self {
        UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

/// Who a client is, as it was authenticated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// `None` for nobody known.
    pub user: Option<Arc<str>>,
    pub claims: Map<String, Value>,
    /// When the token ends.
    pub expires: Option<UnixSeconds>,
    /// When the token was issued.
    pub issued: Option<UnixSeconds>,
    pub token_id: Option<Arc<str>>,
}

impl Identity {
    /// Nobody known, without claims.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// As it is kept with a session.
    #[must_use]
    pub fn to_text(&self) -> Arc<str> {
        serde_json::to_string(self).unwrap_or_default().into()
    }

    /// What [`Self::to_text`] wrote; `None` when it is something else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_identity_survives_as_text() {
        let claims = json!({ "sub": "ann", "n": 1.5, "deep": { "list": [1, "x", null] } });
        let ann = Identity {
            user: Some("ann".into()),
            claims: claims.as_object().unwrap().clone(),
            expires: Some(UnixSeconds(2)),
            issued: Some(UnixSeconds(1)),
            token_id: Some("t".into()),
        };
        for identity in [ann, Identity::nobody()] {
            assert_eq!(Identity::from_text(&identity.to_text()), Some(identity));
        }
        for text in ["", "null", "[]", "{\"user\":7}", "ann"] {
            assert_eq!(Identity::from_text(text), None, "{text}");
        }
    }
}
