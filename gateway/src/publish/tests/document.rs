//! The OpenAPI document says what the API does.

use std::collections::BTreeSet;

use serde_json::json;

use crate::publish::endpoint::Endpoint;

use super::*;

/// Endpoints of `ops`.
const OPERATIONS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

async fn document() -> Value {
    Bench::new().get("/openapi.json").await.json()
}

#[tokio::test]
async fn every_route_is_described_and_no_other() {
    let document = document().await;
    let mut expected: BTreeSet<(String, String)> = Endpoint::ROUTED
        .into_iter()
        .map(|endpoint| (endpoint.path().to_owned(), endpoint.method().as_str().to_lowercase()))
        .collect();
    expected.extend(OPERATIONS.map(|path| (path.to_owned(), "get".to_owned())));
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        described.extend(item.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())));
    }
    assert_eq!(described, expected);
}

#[tokio::test]
async fn operations_name_their_scope_and_their_refusals() {
    let document = document().await;
    assert_eq!(document["components"]["securitySchemes"]["api_key"]["scheme"], "bearer");
    for endpoint in Endpoint::ROUTED {
        let operation = &document["paths"][endpoint.path()][endpoint.method().as_str().to_lowercase()];
        assert!(operation["summary"].is_string(), "{endpoint:?}");
        let Some(scope) = endpoint.scope() else {
            assert!(operation["security"].is_null(), "{endpoint:?}");
            continue;
        };
        let scope = format!("{scope:?}").to_lowercase();
        assert_eq!(operation["security"], json!([{ "api_key": [scope] }]), "{endpoint:?}");
        let with_body: &[&str] = if endpoint.method() == "POST" { &["413", "415"] } else { &[] };
        for status in ["200", "400", "401", "403", "404", "503"].iter().chain(with_body) {
            assert!(operation["responses"][status].is_object(), "{endpoint:?} does not describe {status}");
        }
        assert_eq!(operation["requestBody"].is_object(), endpoint.method() == "POST", "{endpoint:?}");
    }
    let publish = &document["paths"]["/v1/publish"]["post"];
    assert!(publish["responses"]["409"].is_object() && publish["responses"]["504"].is_object());
    assert!(document["paths"]["/v1/presence"]["get"]["responses"]["422"].is_object());
    assert_eq!(publish["parameters"][0]["name"], "Idempotency-Key");
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    fn check(value: &Value, document: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                map.values().for_each(|value| check(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| check(value, document)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = document().await;
    check(&document, &document);
}

/// The answer has all that its schema requires and nothing that it does not know.
#[track_caller]
fn assert_fits(document: &Value, schema: &str, answer: &Value) {
    let schema = &document["components"]["schemas"][schema];
    let properties = schema["properties"].as_object().unwrap();
    for key in answer.as_object().unwrap().keys() {
        assert!(properties.contains_key(key), "`{key}` is not in {schema}");
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        assert!(answer.get(key.as_str().unwrap()).is_some(), "`{key}` is missing in {answer}");
    }
}

#[tokio::test]
async fn answers_fit_their_schemas() {
    let (bench, document) = (Bench::new(), document().await);
    for (schema, body) in [
        ("Published", r#"{"target":"all","event":"e"}"#),
        ("Published", r#"{"target":"all","event":"e","volatile":true}"#),
        ("Acknowledged", r#"{"target":"all","event":"e","ack":{"timeout_ms":1}}"#),
        ("ErrorAnswer", "{}"),
    ] {
        assert_fits(&document, schema, &bench.post("/v1/publish", body).await.json());
    }
    let reply = bench.post("/v1/publish/batch", r#"{"items":[{"target":"all","event":"e"},7]}"#).await.json();
    assert_fits(&document, "BatchAnswer", &reply);
    reply["results"].as_array().unwrap().iter().for_each(|item| assert_fits(&document, "ItemAnswer", item));
    assert_fits(&document, "Failure", &reply["results"][1]["error"]);
    for (schema, reply) in
        [("ChangeAnswer", None), ("ListAnswer", Some("/v1/sockets")), ("CountAnswer", Some("/v1/count"))]
    {
        *bench.fake.report.lock().unwrap() = Some(Report { count: 1, sockets: Vec::new(), partial: true });
        let reply = match reply {
            Some(path) => bench.get(path).await,
            None => bench.post("/v1/disconnect", r#"{"target":"all"}"#).await,
        };
        assert_fits(&document, schema, &reply.json());
    }
}

#[tokio::test]
async fn requests_are_described_field_by_field() {
    let document = document().await;
    let schemas = &document["components"]["schemas"];
    let publish = &schemas["Publish"];
    let fields: BTreeSet<_> = publish["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["ack", "args", "event", "except", "idempotency_key", "namespace", "target", "volatile"];
    assert_eq!(fields, BTreeSet::from(expected));
    assert_eq!(publish["required"], json!(["target", "event"]));
    for schema in ["Publish", "AckRequest", "RoomsChange", "Disconnect", "Revoke", "Batch", "Listed", "Except"] {
        assert_eq!(schemas[schema]["additionalProperties"], false, "{schema}");
    }
    assert_eq!(schemas["Everyone"]["enum"], json!(["all"]));
    assert!(schemas["Listed"]["required"].is_null());
}
