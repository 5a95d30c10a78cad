//! Which keys are taken from files, and which key of a set a token gets.

use config::Algorithm::{ES256, ES384, EdDSA, HS256, PS256, RS256, RS384, RS512};

use super::*;
use crate::auth::check;

fn with_file(algorithm: config::Algorithm, path: PathBuf) -> Auth {
    Auth { public_key_file: Some(path), ..jwt(&[algorithm]) }
}

#[test]
fn files_with_public_keys() {
    for (algorithm, key, name) in
        [(RS256, "rsa", "rsa.cert.pem"), (ES256, "p256", "p256.cert.pem"), (EdDSA, "ed25519", "ed25519.pub.pem")]
    {
        let verifier = verifier(&with_file(algorithm, file(name))).unwrap();
        assert!(verify(&verifier, &token(algorithm, key, None, &ann())).is_ok(), "{name}");
    }
    let not_pem = "is not a public key or certificate in PEM for";
    for (algorithms, name, message) in [
        (&[RS256][..], "rsa.key.pem", "is a private key, the public one is needed".to_owned()),
        (&[ES256], "p256.key.pem", "is a private key, the public one is needed".to_owned()),
        (&[RS256], "rsa-small.pub.pem", "is an RSA key of 1024 bits, and must have 2048 to 4096".to_owned()),
        (&[RS256], "p256.pub.pem", format!("{not_pem} RS256")),
        (&[ES256], "rsa.pub.pem", format!("{not_pem} ES256")),
        (&[ES256], "p384.pub.pem", format!("{not_pem} ES256")),
        (&[ES384], "p256.cert.pem", format!("{not_pem} ES384")),
        (&[ES384], "p521.pub.pem", format!("{not_pem} ES384")),
        (&[EdDSA], "p256.pub.pem", format!("{not_pem} EdDSA")),
        (&[ES256, ES384], "p256.pub.pem", format!("{not_pem} ES384")),
        (&[RS256], "README.md", format!("{not_pem} RS256")),
    ] {
        let auth = Auth { public_key_file: Some(file(name)), ..jwt(algorithms) };
        let expected = format!("{}: {message}", file(name).display());
        assert_eq!(verifier(&auth).err().unwrap().to_string(), expected);
        assert_eq!(check(&auth).unwrap_err().to_string(), expected);
    }
}

#[test]
fn files_that_are_not_there_or_empty() {
    let absent = "/no/such/file";
    let unreadable = format!("cannot read {absent}: No such file or directory (os error 2)");
    for auth in [
        with_file(RS256, absent.into()),
        Auth { secret_file: Some(absent.into()), ..jwt(&[HS256]) },
        Auth { jwks_file: Some(absent.into()), ..jwt(&[RS256]) },
    ] {
        assert_eq!(verifier(&auth).err().unwrap().to_string(), unreadable);
        assert_eq!(check(&auth).unwrap_err().to_string(), unreadable);
    }
    let empty = Scratch::new("\n\r\n");
    let auth = Auth { secret_file: Some(empty.0.clone()), ..jwt(&[HS256]) };
    assert_eq!(verifier(&auth).err().unwrap().to_string(), format!("{} is empty", empty.0.display()));
}

#[test]
fn a_secret_file_ends_where_its_lines_do() {
    let good = token(HS256, "", None, &ann());
    for (text, is_it) in [
        (SECRET.to_owned(), true),
        (format!("{SECRET}\n"), true),
        (format!("{SECRET}\r\n\n"), true),
        (format!("{SECRET} "), false),
        (format!("\n{SECRET}"), false),
    ] {
        let secret = Scratch::new(&text);
        let verifier = verifier(&Auth { secret_file: Some(secret.0.clone()), ..jwt(&[HS256]) }).unwrap();
        assert_eq!(verify(&verifier, &good).is_ok(), is_it, "{text:?}");
    }
}

#[test]
fn incomplete_configurations_make_no_verifier() {
    let secret = || Secret(SECRET.to_owned());
    for auth in [
        jwt(&[HS256]),
        Auth { secret: secret(), ..jwt(&[]) },
        Auth { secret: secret(), ..jwt(&[RS256]) },
        Auth { secret: secret(), jwks_url: "https://id.example".to_owned(), ..jwt(&[HS256]) },
        with_file(HS256, file("rsa.pub.pem")),
        Auth { jwks_url: "https://id.example".to_owned(), ..jwt(&[HS256]) },
    ] {
        assert!(matches!(verifier(&auth), Err(KeyError::Incomplete)), "{auth:?}");
    }
}

#[test]
fn warnings() {
    let weak = Auth { secret: Secret("short".to_owned()), ..jwt(&[HS256]) };
    let short = "is only 5 bytes long; 32 or more cannot be guessed";
    assert_eq!(check(&weak).unwrap(), [("secret", short.to_owned())]);
    let file = Scratch::new("short\n");
    let weak = Auth { secret_file: Some(file.0.clone()), ..jwt(&[HS256]) };
    assert_eq!(check(&weak).unwrap(), [("secret_file", short.to_owned())]);
    for (url, count) in [("http://id.example/jwks", 1), ("https://id.example/jwks", 0)] {
        let auth = Auth { jwks_url: url.to_owned(), ..jwt(&[RS256]) };
        assert_eq!(check(&auth).unwrap().len(), count, "{url}");
    }
    assert_eq!(check(&with_key(HS256, "")).unwrap(), []);
}

fn by_set(algorithms: &[config::Algorithm], keys: &[Value]) -> Result<Verifier, KeyError> {
    let set = Scratch::new(&json!({ "keys": keys }).to_string());
    verifier(&Auth { jwks_file: Some(set.0.clone()), ..jwt(algorithms) })
}

#[test]
fn each_kind_of_key_is_read_from_a_set() {
    let public = ALGORITHMS.into_iter().filter(|(_, key)| !key.is_empty());
    let keys: Vec<Value> =
        public.clone().map(|(algorithm, key)| jwk(algorithm, key, json!({ "kid": algorithm.to_string() }))).collect();
    let algorithms: Vec<_> = public.clone().map(|(algorithm, _)| algorithm).collect();
    let verifier = by_set(&algorithms, &keys).unwrap();
    let mut accepted = 0;
    for (algorithm, key) in public {
        let verified = verify(&verifier, &token(algorithm, key, Some(&algorithm.to_string()), &ann()));
        assert_eq!(verified.unwrap().user.as_deref(), Some("ann"), "{algorithm}");
        accepted += 1;
    }
    assert_eq!(accepted, 9);
}

/// What the token says of its key, the error, if any.
type Case = (config::Algorithm, &'static str, Option<&'static str>, Option<AuthError>);

#[test]
fn the_key_that_a_token_gets() {
    use AuthError::{BadSignature, UnknownKey, WrongAlgorithm};
    let algorithms = [RS256, RS384, RS512, PS256, ES256];
    let set = [
        jwk(RS256, "rsa", json!({ "kid": "a", "use": "sig" })),
        jwk(RS256, "rsa-other", json!({ "kid": "b", "alg": "RS384", "key_ops": ["verify"] })),
        jwk(ES256, "p256", json!({})),
    ];
    let cases: &[Case] = &[
        (RS256, "rsa", Some("a"), None),
        (RS512, "rsa", Some("a"), None),
        (PS256, "rsa", Some("a"), None),
        (RS256, "rsa-other", Some("a"), Some(BadSignature)),
        (RS384, "rsa-other", Some("b"), None),
        (RS256, "rsa-other", Some("b"), Some(WrongAlgorithm)),
        (ES256, "p256", Some("a"), Some(WrongAlgorithm)),
        (ES384, "p384", Some("a"), Some(WrongAlgorithm)),
        (RS256, "rsa", None, None),
        (RS384, "rsa", None, Some(UnknownKey)),
        (ES256, "p256", None, None),
    ];
    let verifier = by_set(&algorithms, &set).unwrap();
    for (algorithm, key, id, expected) in cases {
        let verified = verify(&verifier, &token(*algorithm, key, *id, &ann()));
        assert_eq!(verified.err(), *expected, "{algorithm} by {key} as {id:?}");
    }
}

#[test]
fn keys_that_are_not_used() {
    let set = |more: Value| by_set(&[RS256], &[jwk(RS256, "rsa", more)]).map(|_| ());
    assert!(set(json!({})).is_ok());
    for (more, why) in [
        (json!({ "use": "enc" }), "for encryption"),
        (json!({ "use": "other" }), "for something else"),
        (json!({ "key_ops": ["encrypt"] }), "for other operations"),
        (json!({ "alg": "RS512" }), "for another algorithm"),
        (json!({ "alg": "RSA-OAEP" }), "for encryption by its algorithm"),
        (json!({ "alg": "XY1" }), "for an unknown algorithm"),
        (json!({ "kid": 7 }), "of a malformed id"),
        (json!({ "n": "not base64!" }), "not base64"),
        (json!({ "n": "AQAB" }), "of a few bits"),
        (json!({ "kty": "oct", "k": "c2VjcmV0" }), "a secret"),
        (json!({ "kty": "new" }), "of an unknown type"),
    ] {
        let why_not = set(more).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(why_not.ends_with("has no usable key for the configured algorithms"), "{why}: {why_not:?}");
    }
    // a set with those and a good one is good
    let keys = [
        json!(7),
        json!({ "kty": "new" }),
        jwk(RS256, "rsa-other", json!({ "use": "enc" })),
        jwk(RS256, "rsa", json!({})),
    ];
    let verifier = by_set(&[RS256], &keys).unwrap();
    assert!(verify(&verifier, &token(RS256, "rsa", None, &ann())).is_ok());
    for (curve, key) in [("P-384", "p256"), ("P-521", "p256"), ("Ed25519", "p256")] {
        assert!(by_set(&[ES384], &[jwk(ES256, key, json!({ "crv": curve }))]).is_err(), "{curve}");
    }
}

#[test]
fn texts_that_are_no_set() {
    for (text, message) in [
        ("", "is not a JSON Web Key Set (line 1, column 0)"),
        ("[]", "is not a JSON Web Key Set (line 1, column 2)"),
        ("\"top secret\"", "is not a JSON Web Key Set (line 1, column 12)"),
        ("{\"keys\":{}}", "is not a JSON Web Key Set (line 1, column 8)"),
        ("{\"keys\":[]}", "has no usable key for the configured algorithms"),
    ] {
        let set = Scratch::new(text);
        let auth = Auth { jwks_file: Some(set.0.clone()), ..jwt(&[RS256]) };
        assert_eq!(verifier(&auth).err().unwrap().to_string(), format!("{}: {message}", set.0.display()), "{text}");
        assert!(check(&auth).is_err());
    }
    let large = Scratch::new(&" ".repeat((1 << 20) + 1));
    let auth = Auth { jwks_file: Some(large.0.clone()), ..jwt(&[RS256]) };
    assert!(verifier(&auth).err().unwrap().to_string().ends_with("is larger than 1 MiB"));
}
