//! Templates of the configuration, rendered with what a client sends. The input is cut at 0x1e: template, CONNECT
//! payload, query, arguments.
#![no_main]

use carillon_gateway::message::Room;
use carillon_gateway::policy::{Args, Context, RoomTemplate, Template};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let mut pieces = text.split('\x1e');
    let template = pieces.next().unwrap_or_default();
    let auth: Value = pieces.next().and_then(|piece| serde_json::from_str(piece).ok()).unwrap_or_default();
    let query = pieces.next().unwrap_or_default();
    let args: Vec<String> =
        pieces.filter(|piece| serde_json::from_str::<&RawValue>(piece).is_ok()).map(str::to_owned).collect();
    let context = Context { auth: &auth, query, args: Args::Json(&args), ..Context::EMPTY };
    if let Ok(template) = Template::parse(template) {
        let _ = template.render(&context);
    }
    if let Ok(room) = RoomTemplate::parse(template).and_then(|room| Ok(room.render(&context))) {
        match room {
            Ok(Room::Named(name)) => assert!(!name.is_empty() && name.len() <= Room::MAX_NAME),
            Ok(Room::User(name)) => {
                assert!(template.starts_with("user:"), "only static text makes a user room");
                assert!(!name.is_empty() && name.len() <= Room::MAX_NAME);
            }
            Ok(room) => panic!("{room:?} from a template"),
            Err(_) => {}
        }
    }
});
