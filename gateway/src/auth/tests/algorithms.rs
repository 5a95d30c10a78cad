//! Each algorithm with its own key, with others' keys, and under others' names.

use super::*;

#[test]
fn each_algorithm_verifies_its_own_tokens_and_no_others() {
    let mut accepted = 0;
    let mut refused = 0;
    for (algorithm, key) in ALGORITHMS {
        let verifier = verifier(&with_key(algorithm, key)).unwrap();
        for (other, other_key) in ALGORITHMS {
            let token = token(other, other_key, None, &ann());
            let verified = verify(&verifier, &token);
            if other == algorithm {
                assert_eq!(verified.unwrap().user.as_deref(), Some("ann"), "{algorithm}");
                accepted += 1;
            } else {
                assert_eq!(verified, Err(AuthError::WrongAlgorithm), "{other} for {algorithm}");
                refused += 1;
            }
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert_eq!((accepted, refused), (12, 132));
}

#[test]
fn several_algorithms_of_one_key() {
    use config::Algorithm::{HS256, HS384, HS512, PS256, RS256, RS512};
    let secret = verifier(&Auth { secret: Secret(SECRET.to_owned()), ..jwt(&[HS256, HS512]) }).unwrap();
    let public = verifier(&Auth { public_key_file: Some(file("rsa.pub.pem")), ..jwt(&[RS256, PS256]) }).unwrap();
    for (verifier, algorithm, key, good) in [
        (&secret, HS256, "", true),
        (&secret, HS512, "", true),
        (&secret, HS384, "", false),
        (&secret, RS256, "rsa", false),
        (&public, RS256, "rsa", true),
        (&public, PS256, "rsa", true),
        (&public, RS512, "rsa", false),
        (&public, HS256, "", false),
    ] {
        let verified = verify(verifier, &token(algorithm, key, None, &ann()));
        assert_eq!(verified.err(), (!good).then_some(AuthError::WrongAlgorithm), "{algorithm}");
    }
}

#[test]
fn another_key_of_the_kind_verifies_nothing() {
    let rsa = verifier(&with_key(config::Algorithm::RS256, "rsa")).unwrap();
    let foreign = token(config::Algorithm::RS256, "rsa-other", None, &ann());
    assert_eq!(verify(&rsa, &foreign), Err(AuthError::BadSignature));

    let auth = Auth { secret: Secret(format!("{SECRET}.")), ..jwt(&[config::Algorithm::HS256]) };
    let other = verifier(&auth).unwrap();
    let foreign = token(config::Algorithm::HS256, "", None, &ann());
    assert_eq!(verify(&other, &foreign), Err(AuthError::BadSignature));
}

#[test]
fn the_id_of_a_key_does_not_matter_when_there_is_one_key() {
    for (algorithm, key) in [(config::Algorithm::HS256, ""), (config::Algorithm::ES256, "p256")] {
        let verifier = verifier(&with_key(algorithm, key)).unwrap();
        assert!(verify(&verifier, &token(algorithm, key, Some("whatever"), &ann())).is_ok(), "{algorithm}");
    }
}

#[test]
fn time_passes() {
    let (time, clock) = clock();
    let auth = with_key(config::Algorithm::HS256, "");
    let verifier = Verifier::new(&auth, |_| unreachable!("no URL"), clock, metrics()).unwrap();
    let token = token(config::Algorithm::HS256, "", None, &json!({ "sub": "ann", "nbf": NOW, "exp": NOW + 60 }));
    for (at, expected) in [
        (NOW - 6, Some(AuthError::NotYetValid)),
        (NOW - 5, None),
        (NOW + 64, None),
        (NOW + 65, Some(AuthError::Expired)),
    ] {
        time.store(at, Ordering::Relaxed);
        assert_eq!(verify(&verifier, &token).err(), expected, "{at}");
    }
}
