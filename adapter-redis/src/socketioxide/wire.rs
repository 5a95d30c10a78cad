//! What nodes ask and answer each other, as JSON: as the gateways write it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Action, Room};

/// Something to do with the sockets of some rooms, or to ask of them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) namespace: String,
    /// As [`Room`] writes them.
    pub(super) rooms: Vec<String>,
    pub(super) action: Doing,
    /// By which the session store knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Doing {
    Join(Vec<String>),
    Leave(Vec<String>),
    Disconnect { close: bool },
    List,
    Count,
}

impl Doing {
    /// What the session store does to clients that are away.
    pub(super) fn action(&self) -> Option<Action> {
        match self {
            Doing::Join(rooms) => read(rooms).map(Action::Join),
            Doing::Leave(rooms) => read(rooms).map(Action::Leave),
            Doing::Disconnect { .. } => Some(Action::Disconnect),
            Doing::List | Doing::Count => None,
        }
    }
}

/// One node's answer to [`Asked`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) count: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sockets: Vec<Listed>,
    pub(super) partial: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) rooms: Vec<String>,
}

/// What the sockets of one node have acknowledged.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Acknowledged {
    pub(super) expected: usize,
    pub(super) answers: Vec<Acknowledging>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Acknowledging {
    pub(super) socket: String,
    /// An array, in which `{"$binary":"<base64>"}` stands for binary data.
    pub(super) args: Box<RawValue>,
}

pub(super) fn written(rooms: &[Room]) -> Vec<String> {
    rooms.iter().map(Room::to_string).collect()
}

/// `None` when one is not known here.
pub(super) fn read(rooms: &[String]) -> Option<Vec<Room>> {
    rooms.iter().map(|room| Room::parse(room)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_gateways_write_it() {
        let rooms = || vec!["*".into(), "na".into()];
        for (action, text) in [
            (Doing::Join(rooms()), r#"{"join":["*","na"]}"#),
            (Doing::Leave(rooms()), r#"{"leave":["*","na"]}"#),
            (Doing::Disconnect { close: true }, r#"{"disconnect":{"close":true}}"#),
            (Doing::List, r#""list""#),
            (Doing::Count, r#""count""#),
        ] {
            assert_eq!(serde_json::to_string(&action).unwrap(), text);
            let asked = format!(r#"{{"namespace":"/","rooms":["*","na"],"action":{text}}}"#);
            let read: Asked = serde_json::from_str(&asked).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), asked);
        }
        let text = r#"{"expected":2,"answers":[{"socket":"x","args":[1.0,"é"]}]}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Acknowledged>(text).unwrap()).unwrap(), text);
        let text = r#"{"count":1,"sockets":[{"id":"x","rooms":["na"]}],"partial":false}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Answer>(text).unwrap()).unwrap(), text);
    }
}
