//! Packets of the msgpack parser: what is read is written again without a panic, and read again as the same.
#![no_main]

use carillon_gateway::protocol::msgpack::{decode, encode};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Equal, but for the last digits of a float: a value goes through JSON text, whose reader may miss by a bit.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            (a - b).abs() <= a.abs() * 1e-15
        }
        _ => a == b,
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(packet) = decode(data) else { return };
    let json = packet.data.as_ref().map(ToString::to_string);
    let json = json.as_deref().map(str::as_bytes);
    let bytes = encode(packet.kind, &packet.namespace, json, &packet.attachments, packet.id);
    let again = decode(&bytes).expect("what was written is read");
    assert_eq!((packet.kind, packet.id), (again.kind, again.id));
    assert_eq!((&packet.namespace, &packet.attachments), (&again.namespace, &again.attachments));
    match (&packet.data, &again.data) {
        (Some(a), Some(b)) => assert!(same(a, b), "{a} read again as {b}"),
        (a, b) => assert_eq!(a, b),
    }
});
