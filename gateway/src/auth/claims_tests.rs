use serde_json::json;

use super::*;

const NOW: u64 = 1_700_000_000;

fn judge(auth: &Auth, claims: Value) -> Result<Identity, AuthError> {
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    ClaimRules::new(auth).judge(claims, UnixSeconds(NOW))
}

#[test]
fn an_identity_has_what_the_token_says() {
    let claims = json!({ "sub": "ann", "exp": NOW + 60, "iat": NOW - 60, "jti": "t1", "role": "admin" });
    let identity = judge(&Auth::default(), claims.clone()).unwrap();
    assert_eq!(identity.user.as_deref(), Some("ann"));
    assert_eq!((identity.expires, identity.issued), (Some(UnixSeconds(NOW + 60)), Some(UnixSeconds(NOW - 60))));
    assert_eq!(identity.token_id.as_deref(), Some("t1"));
    assert_eq!(Value::Object(identity.claims.clone()), claims);
    assert_eq!(Identity::from_text(&identity.to_text()), Some(identity));

    let identity = judge(&Auth::default(), json!({ "sub": "ann" })).unwrap();
    assert_eq!((identity.expires, identity.issued, identity.token_id), (None, None, None));
}

#[test]
fn time() {
    use AuthError::{Expired, Malformed, NotYetValid};
    let now = NOW as f64;
    let auth = Auth { leeway: Duration::from_secs(5), ..Auth::default() };
    for (name, value, expected) in [
        ("exp", json!(NOW + 1), None),
        ("exp", json!(NOW), None),
        ("exp", json!(NOW - 4), None),
        ("exp", json!(NOW - 5), Some(Expired)),
        ("exp", json!(now - 4.5), None),
        ("exp", json!(now - 5.5), Some(Expired)),
        ("exp", json!(0), Some(Expired)),
        ("exp", json!(-1), Some(Expired)),
        ("exp", json!(1e300), None),
        ("exp", json!(u64::MAX), None),
        ("exp", json!("1800000000"), Some(Malformed)),
        ("exp", json!(null), Some(Malformed)),
        ("exp", json!([1]), Some(Malformed)),
        ("nbf", json!(NOW), None),
        ("nbf", json!(NOW + 5), None),
        ("nbf", json!(NOW + 6), Some(NotYetValid)),
        ("nbf", json!(now + 5.5), Some(NotYetValid)),
        ("nbf", json!(-1), None),
        ("nbf", json!("now"), Some(Malformed)),
        ("iat", json!(NOW + 5), None),
        ("iat", json!(NOW + 6), Some(NotYetValid)),
        ("iat", json!(true), Some(Malformed)),
    ] {
        let claims = json!({ "sub": "ann", name: value });
        assert_eq!(judge(&auth, claims).err(), expected, "{name} = {value}");
    }
    let strict = Auth { leeway: Duration::ZERO, ..Auth::default() };
    assert_eq!(judge(&strict, json!({ "sub": "ann", "exp": NOW })), Err(Expired));
    assert!(judge(&strict, json!({ "sub": "ann", "exp": NOW + 1, "nbf": NOW })).is_ok());
    let far = judge(&strict, json!({ "sub": "ann", "exp": 1e300, "iat": -1 })).unwrap();
    assert_eq!((far.expires, far.issued), (Some(UnixSeconds((1 << 53) - 1)), Some(UnixSeconds(0))));
}

#[test]
fn issuer_and_audience() {
    use AuthError::{WrongAudience, WrongIssuer};
    let auth = Auth {
        issuer: "https://id.example".to_owned(),
        audience: vec!["chat".to_owned(), "news".to_owned()],
        ..Auth::default()
    };
    for (issuer, audience, expected) in [
        (json!("https://id.example"), json!("chat"), None),
        (json!("https://id.example"), json!("news"), None),
        (json!("https://id.example"), json!(["x", "chat"]), None),
        (json!("https://id.example"), json!(["x", 7]), Some(WrongAudience)),
        (json!("https://id.example"), json!([]), Some(WrongAudience)),
        (json!("https://id.example"), json!("Chat"), Some(WrongAudience)),
        (json!("https://id.example"), json!({ "chat": 1 }), Some(WrongAudience)),
        (json!("https://id.example"), json!(null), Some(WrongAudience)),
        (json!("https://id.example/"), json!("chat"), Some(WrongIssuer)),
        (json!(["https://id.example"]), json!("chat"), Some(WrongIssuer)),
        (json!(null), json!("chat"), Some(WrongIssuer)),
    ] {
        let claims = json!({ "sub": "ann", "iss": issuer, "aud": audience });
        assert_eq!(judge(&auth, claims.clone()).err(), expected, "{claims}");
        assert!(judge(&Auth::default(), claims.clone()).is_ok(), "{claims}");
    }
    assert_eq!(judge(&auth, json!({ "sub": "ann", "aud": "chat" })), Err(WrongIssuer));
    assert_eq!(judge(&auth, json!({ "sub": "ann", "iss": "https://id.example" })), Err(WrongAudience));
}

#[test]
fn users() {
    for (path, claims, user) in [
        ("sub", json!({ "sub": "ann" }), Some("ann")),
        ("sub", json!({ "sub": 42 }), Some("42")),
        ("sub", json!({ "sub": -1 }), Some("-1")),
        ("sub", json!({ "sub": u64::MAX }), Some("18446744073709551615")),
        ("sub", json!({ "sub": 1.5 }), None),
        ("sub", json!({ "sub": "" }), None),
        ("sub", json!({ "sub": "a\nb" }), None),
        ("sub", json!({ "sub": "a\u{85}b" }), None),
        ("sub", json!({ "sub": null }), None),
        ("sub", json!({ "sub": ["ann"] }), None),
        ("sub", json!({ "sub": { "id": "ann" } }), None),
        ("sub", json!({}), None),
        ("sub", json!({ "sub": "é".repeat(127) + "x" }), Some(&*("é".repeat(127) + "x"))),
        ("sub", json!({ "sub": "é".repeat(128) }), None),
        ("user.id", json!({ "user": { "id": 7 } }), Some("7")),
        ("user.id", json!({ "user": "ann" }), None),
        ("user.id", json!({ "user.id": "dotted", "user": { "id": "deep" } }), Some("dotted")),
        ("https://a.example/id", json!({ "https://a.example/id": "ann" }), Some("ann")),
    ] {
        let auth = Auth { user: path.to_owned(), ..Auth::default() };
        let found = judge(&auth, claims.clone());
        let found = found.as_ref().map(|identity| identity.user.as_deref());
        assert_eq!(found, user.map(Some).ok_or(&AuthError::NoUser), "{path} in {claims}");
    }
}

#[test]
fn token_ids() {
    for (jti, expected) in [
        (json!("t"), Ok(Some("t"))),
        (json!(9), Ok(Some("9"))),
        (json!(""), Err(AuthError::Malformed)),
        (json!(null), Err(AuthError::Malformed)),
        (json!("x".repeat(256)), Err(AuthError::Malformed)),
    ] {
        let found = judge(&Auth::default(), json!({ "sub": "ann", "jti": jti }));
        let found = found.as_ref().map(|identity| identity.token_id.as_deref());
        assert_eq!(found, expected.as_ref().copied(), "{jti}");
    }
}
