//! Tokens that nobody with the key has made.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::*;

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

#[test]
fn none_is_not_an_algorithm() {
    for (algorithm, key) in ALGORITHMS {
        let verifier = verifier(&with_key(algorithm, key)).unwrap();
        for alg in ["none", "None", "NONE", "", "HS1", "ES512", "hs256", "RS256 "] {
            for signature in ["", "c2ln"] {
                let token = format!("{}.{}.{signature}", encoded(&json!({ "alg": alg })), encoded(&ann()));
                assert_eq!(verify(&verifier, &token), Err(AuthError::WrongAlgorithm), "{alg:?} for {algorithm}");
            }
        }
    }
}

/// Whoever has the public key must not be able to sign with it as if it were a secret.
#[test]
fn a_public_key_is_no_secret() {
    let mut tried = 0;
    for (algorithm, key) in ALGORITHMS.into_iter().filter(|(_, key)| !key.is_empty()) {
        let pem = text(&format!("{key}.pub.pem"));
        let set = json!({ "keys": [jwk(algorithm, key, json!({ "kid": "k" }))] }).to_string();
        let set_file = Scratch::new(&set);
        let by_set = Auth { jwks_file: Some(set_file.0.clone()), ..jwt(&[algorithm]) };
        for auth in [with_key(algorithm, key), by_set] {
            let verifier = verifier(&auth).unwrap();
            for secret in [pem.as_str(), pem.trim_end(), set.as_str()] {
                for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                    let header = Header { kid: Some("k".to_owned()), ..Header::new(alg) };
                    let signer = EncodingKey::from_secret(secret.as_bytes());
                    let forged = jsonwebtoken::encode(&header, &ann(), &signer).unwrap();
                    assert_eq!(verify(&verifier, &forged), Err(AuthError::WrongAlgorithm), "{algorithm}");
                    tried += 1;
                }
            }
        }
    }
    println!("{tried} forgeries refused");
    assert_eq!(tried, 9 * 2 * 3 * 3);
}

/// A token that brings its own key is judged by ours.
#[test]
fn keys_in_the_header_are_not_looked_at() {
    let verifier = verifier(&with_key(config::Algorithm::RS256, "rsa")).unwrap();
    let own = jwk(config::Algorithm::RS256, "rsa-other", json!({}));
    let header = Header {
        jwk: Some(serde_json::from_value(own).unwrap()),
        jku: Some("https://evil.example/jwks.json".to_owned()),
        ..Header::new(Algorithm::RS256)
    };
    let signer = signer(config::Algorithm::RS256, "rsa-other");
    let forged = jsonwebtoken::encode(&header, &ann(), &signer).unwrap();
    assert_eq!(verify(&verifier, &forged), Err(AuthError::BadSignature));
}

#[test]
fn extensions_that_must_be_understood_are_refused() {
    let verifier = verifier(&with_key(config::Algorithm::HS256, "")).unwrap();
    let header = Header { crit: Some(vec!["exp".to_owned()]), ..Header::new(Algorithm::HS256) };
    let signer = signer(config::Algorithm::HS256, "");
    let token = jsonwebtoken::encode(&header, &ann(), &signer).unwrap();
    assert_eq!(verify(&verifier, &token), Err(AuthError::Malformed));
}

#[test]
fn claims_are_an_object() {
    let verifier = verifier(&with_key(config::Algorithm::HS256, "")).unwrap();
    for claims in [json!([]), json!("ann"), json!(7), json!(null)] {
        let token = token(config::Algorithm::HS256, "", None, &claims);
        assert_eq!(verify(&verifier, &token), Err(AuthError::Malformed), "{claims}");
    }
}

#[test]
fn long_tokens_are_not_read() {
    let good = token(config::Algorithm::HS256, "", None, &ann());
    for (max_token, expected) in [(good.len(), None), (good.len() - 1, Some(AuthError::TooLong))] {
        let verifier = verifier(&Auth { max_token, ..with_key(config::Algorithm::HS256, "") }).unwrap();
        assert_eq!(verify(&verifier, &good).err(), expected);
        assert_eq!(verify(&verifier, &"x".repeat(max_token + 1)), Err(AuthError::TooLong));
    }
}

/// Every other character at every place, of the signature too: base64 with bits left over is refused.
#[test]
fn no_changed_token_verifies() {
    let mut tried = 0;
    for (algorithm, key) in [
        (config::Algorithm::HS256, ""),
        (config::Algorithm::RS256, "rsa"),
        (config::Algorithm::ES256, "p256"),
        (config::Algorithm::EdDSA, "ed25519"),
    ] {
        let verifier = verifier(&with_key(algorithm, key)).unwrap();
        let good = token(algorithm, key, None, &ann());
        assert!(verify(&verifier, &good).is_ok());
        for at in 0..good.len() {
            // a neighbour in the alphabet, the lowest bit, the highest, and what is not of it
            for flip in [1_u8, 2, 32, 64] {
                let mut bytes = good.clone().into_bytes();
                bytes[at] ^= flip;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(verify(&verifier, &changed).is_err(), "{algorithm}: byte {at} ^ {flip}");
                tried += 1;
            }
            let cut = &good[..at];
            assert!(verify(&verifier, cut).is_err(), "{algorithm}: cut at {at}");
        }
        for added in ["=", ".", "A", "\n", " "] {
            assert!(verify(&verifier, &format!("{good}{added}")).is_err(), "{algorithm}: {added:?} added");
            assert!(verify(&verifier, &format!("{added}{good}")).is_err(), "{algorithm}: {added:?} before");
        }
    }
    println!("{tried} changed tokens refused");
    assert!(tried > 2_000);
}

proptest! {
    #[test]
    fn no_arbitrary_text_verifies(text in any::<String>(), dotted in "[A-Za-z0-9_=-]{0,40}(\\.[A-Za-z0-9_=-]{0,40}){0,4}") {
        let verifier = verifier(&with_key(config::Algorithm::HS256, "")).unwrap();
        prop_assert!(verify(&verifier, &text).is_err());
        prop_assert!(verify(&verifier, &dotted).is_err());
    }

    #[test]
    fn no_arbitrary_header_and_claims_verify(header in any::<String>(), claims in any::<String>(), alg in "[HREP]S(256|384|512)|EdDSA") {
        let verifier = verifier(&with_key(config::Algorithm::HS256, "")).unwrap();
        let claims = URL_SAFE_NO_PAD.encode(claims);
        for header in [URL_SAFE_NO_PAD.encode(header.as_bytes()), encoded(&json!({ "alg": alg, "kid": header }))] {
            let token = format!("{header}.{claims}.AAAA");
            prop_assert!(verify(&verifier, &token).is_err());
        }
    }

    /// What is signed is read without panic, whatever it is.
    #[test]
    fn arbitrary_signed_claims_are_judged(sub in any::<String>(), exp in any::<f64>(), nbf in any::<i64>(), raw in any::<String>()) {
        let verifier = verifier(&with_key(config::Algorithm::HS256, "")).unwrap();
        let claims = json!({ "sub": sub, "exp": exp, "nbf": nbf, raw: [1] });
        if let Ok(identity) = verify(&verifier, &token(config::Algorithm::HS256, "", None, &claims)) {
            prop_assert_eq!(identity.user.as_deref(), Some(&*sub));
            prop_assert!(exp > NOW as f64 - 5.0 && nbf <= NOW as i64 + 5);
        }
    }
}
